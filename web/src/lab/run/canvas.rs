//! The timeline on the screen: a canvas that draws what is in sight, and moves by wheel, drag, pinch and keys.

use super::timeline::{self, Pyramid, Window};
use crate::charts::plotly::mark;
use crate::components::table_switch::TableSwitch;
use crate::lab::rows::Rows;
use crate::lab::state::lab;
use crate::view_model::format;
use leptos::html;
use leptos::prelude::*;
use plimsoll_protocol::lab::{PHASES, RunSeen};
use std::sync::Arc;
use wasm_bindgen::prelude::*;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, KeyboardEvent, PointerEvent, ResizeObserver, WheelEvent};

/// Custom properties of the phases' colors, as `PHASES` counts.
const COLORS: [&str; PHASES.len()] =
    ["--phase-way", "--phase-queued", "--phase-prefill", "--phase-decode", "--phase-preempted"];
/// Room below the bars for the times, CSS pixels.
const AXIS: f64 = 18.0;
/// Part of the window by which a key moves it, and factor of a key's zoom.
const KEY_STEP: f64 = 0.15;
const KEY_ZOOM: f64 = 0.75;

/// A run's requests as they are drawn.
#[derive(Clone)]
pub struct Shown {
    /// What was seen of the run.
    pub seen: Arc<RunSeen>,
    /// Who stands for whom.
    pub pyramid: Arc<Pyramid>,
}

/// Requests as bars over simulated time.
#[component]
pub fn Timeline(
    /// The run.
    #[prop(into)]
    shown: Signal<Option<Shown>>,
) -> impl IntoView {
    let lab = lab();
    let canvas: NodeRef<html::Canvas> = NodeRef::new();
    let is_table = RwSignal::new(false);
    let window = RwSignal::new(Window::whole(1, 1));
    let size = RwSignal::new((0.0, 0.0));
    let chosen: RwSignal<Option<usize>> = RwSignal::new(None);
    let tip: RwSignal<Option<(f64, f64)>> = RwSignal::new(None);
    // Pointers that are down, with their places as shares of the canvas.
    let pointers: StoredValue<Vec<(i32, [f64; 2])>> = StoredValue::new(Vec::new());
    let is_awaited = StoredValue::new(false);
    let whole = move || {
        shown.with(|shown| {
            shown
                .as_ref()
                .map_or(Window::whole(1, 1), |shown| Window::whole(shown.seen.end_us, shown.seen.requests.id.len()))
        })
    };
    Effect::new(move |before: Option<Window>| {
        let whole = whole();
        // Another run is looked at whole, unless somebody has zoomed into one of the same size.
        if before.is_none_or(|before| before.rows != whole.rows || window.get_untracked() == before) {
            window.set(whole);
        } else {
            window.update(|window| *window = window.zoomed([1.0, 1.0], [0.5, 0.5], whole));
        }
        chosen.set(None);
        tip.set(None);
        whole
    });
    // One drawing a frame, however often something moves.
    let draw = Closure::<dyn FnMut()>::new(move || {
        is_awaited.set_value(false);
        let (Some(canvas), Some(window)) = (canvas.try_get_untracked().flatten(), window.try_get_untracked()) else {
            return;
        };
        let chosen = chosen.get_untracked();
        let began = now();
        shown.with_untracked(|shown| {
            shown.iter().for_each(|shown| paint(&canvas, shown, window, size.get_untracked(), chosen))
        });
        mark_frame(now() - began);
    });
    let draw = StoredValue::new_local(draw);
    Effect::new(move |_| {
        window.track();
        shown.track();
        size.track();
        chosen.track();
        lab.theme.track();
        if canvas.get().is_none() || is_awaited.get_value() {
            return;
        }
        is_awaited.set_value(true);
        draw.with_value(|draw| {
            if let Some(browser) = web_sys::window() {
                let _ = browser.request_animation_frame(draw.as_ref().unchecked_ref());
            }
        });
    });
    watch_size(canvas, size);
    let share = move |x: f64, y: f64| -> Option<[f64; 2]> {
        let place = canvas.get_untracked()?.get_bounding_client_rect();
        Some([(x - place.left()) / place.width().max(1.0), (y - place.top()) / (place.height() - AXIS).max(1.0)])
    };
    let zoom = move |factors: [f64; 2], at: [f64; 2]| {
        let whole = whole();
        window.update(|window| *window = window.zoomed(factors, at, whole));
    };
    let shift = move |x: f64, y: f64| {
        let whole = whole();
        window.update(|window| *window = window.moved(x, y, whole));
    };
    let on_wheel = move |event: WheelEvent| {
        event.prevent_default();
        let Some(at) = share(f64::from(event.client_x()), f64::from(event.client_y())) else { return };
        let lines = if event.delta_mode() == 0 { event.delta_y() / 100.0 } else { event.delta_y() / 3.0 };
        let factor = 1.25_f64.powf(lines.clamp(-4.0, 4.0));
        zoom(if event.shift_key() { [factor, 1.0] } else { [factor, factor] }, at);
    };
    let on_down = move |event: PointerEvent| {
        let Some(at) = share(f64::from(event.client_x()), f64::from(event.client_y())) else { return };
        pointers.update_value(|pointers| {
            pointers.retain(|(id, _)| *id != event.pointer_id());
            pointers.push((event.pointer_id(), at));
        });
        if let Some(canvas) = canvas.get_untracked() {
            let _ = canvas.set_pointer_capture(event.pointer_id());
        }
    };
    let on_move = move |event: PointerEvent| {
        let Some(at) = share(f64::from(event.client_x()), f64::from(event.client_y())) else { return };
        let before = pointers.get_value();
        let Some((_, from)) = before.iter().find(|(id, _)| *id == event.pointer_id()).copied() else {
            point(shown, window.get_untracked(), size.get_untracked(), at, chosen, tip);
            return;
        };
        pointers.update_value(|pointers| {
            pointers.iter_mut().filter(|(id, _)| *id == event.pointer_id()).for_each(|pointer| pointer.1 = at);
        });
        match before.iter().find(|(id, _)| *id != event.pointer_id()) {
            None => shift(from[0] - at[0], from[1] - at[1]),
            Some((_, other)) => {
                let apart = |place: [f64; 2]| (place[0] - other[0]).hypot(place[1] - other[1]).max(0.01);
                let factor = apart(from) / apart(at);
                zoom([factor, factor], [(at[0] + other[0]) / 2.0, (at[1] + other[1]) / 2.0]);
            }
        }
    };
    let on_up = move |event: PointerEvent| {
        pointers.update_value(|pointers| pointers.retain(|(id, _)| *id != event.pointer_id()));
        if let Some(at) = share(f64::from(event.client_x()), f64::from(event.client_y())) {
            point(shown, window.get_untracked(), size.get_untracked(), at, chosen, tip);
        }
    };
    let on_key = move |event: KeyboardEvent| {
        let center = [0.5, 0.5];
        match event.key().as_str() {
            "ArrowLeft" => shift(-KEY_STEP, 0.0),
            "ArrowRight" => shift(KEY_STEP, 0.0),
            "ArrowUp" => shift(0.0, -KEY_STEP),
            "ArrowDown" => shift(0.0, KEY_STEP),
            "+" | "=" => zoom([KEY_ZOOM, KEY_ZOOM], center),
            "-" => zoom([1.0 / KEY_ZOOM, 1.0 / KEY_ZOOM], center),
            "0" | "Home" => window.set(whole()),
            _ => return,
        }
        event.prevent_default();
    };
    let number = move |of: fn(&RunSeen) -> usize| shown.with(|shown| shown.as_ref().map_or(0, |shown| of(&shown.seen)));
    let lines = move || {
        chosen.get().and_then(|row| {
            shown.with(|shown| {
                shown.as_ref().map(|shown| timeline::words(&shown.seen.requests, row, &shown.seen.classes))
            })
        })
    };
    view! {
        <section class="chart wide" aria-labelledby="timeline-title" data-testid="timeline">
            <header>
                <h3 id="timeline-title">"Requests over time"</h3>
                <div class="tools">
                    <button type="button" class="quiet" aria-label="Zoom in" on:click=move |_| zoom([KEY_ZOOM, KEY_ZOOM], [0.5, 0.5]) hidden=move || is_table.get()>"+"</button>
                    <button type="button" class="quiet" aria-label="Zoom out" on:click=move |_| zoom([1.0 / KEY_ZOOM, 1.0 / KEY_ZOOM], [0.5, 0.5]) hidden=move || is_table.get()>"−"</button>
                    <button type="button" class="quiet" on:click=move |_| window.set(whole()) hidden=move || is_table.get()>"Whole run"</button>
                    <TableSwitch is_table=is_table />
                </div>
            </header>
            <ul class="legend phases" aria-hidden="true">
                {PHASES.into_iter().zip(COLORS).map(|(name, color)| view! {
                    <li><i style=format!("background:var({color})")></i>{name}</li>
                }).collect_view()}
            </ul>
            <div class="timeline" hidden=move || is_table.get()>
                <canvas
                    node_ref=canvas
                    tabindex="0"
                    role="img"
                    aria-label=move || format!("Timeline of {} requests. Arrow keys move, plus and minus zoom, 0 shows the whole run. The table holds every request.", number(|seen| seen.requests.id.len()))
                    on:wheel=on_wheel
                    on:pointerdown=on_down
                    on:pointermove=on_move
                    on:pointerup=on_up
                    on:pointercancel=on_up
                    on:pointerleave=move |_| tip.set(None)
                    on:keydown=on_key
                ></canvas>
                {move || tip.get().zip(lines()).filter(|(_, lines)| !lines.is_empty()).map(|((x, y), lines)| {
                    let is_right = x > 0.55;
                    let side = if is_right { format!("right:{:.1}%", (1.0 - x) * 100.0 + 1.5) } else { format!("left:{:.1}%", x * 100.0 + 1.5) };
                    let style = format!("{side};top:{:.0}px", y.min(150.0));
                    view! { <div class="tip" role="status" style=style>{lines.into_iter().map(|line| view! { <p>{line}</p> }).collect_view()}</div> }
                })}
            </div>
            <p class="help" hidden=move || is_table.get()>"A row is a request, by arrival; where rows share a line, the longest or a preempted one is drawn. Wheel or pinch zooms (with Shift only in time), drag moves."</p>
            {move || is_table.get().then(|| view! { <Requests shown=shown /> })}
        </section>
    }
}

/// Every request of a run.
#[component]
fn Requests(shown: Signal<Option<Shown>>) -> impl IntoView {
    let columns = [
        "request",
        "replica",
        "arrival (s)",
        "input (tokens)",
        "output (tokens)",
        "cached (tokens)",
        "TTFT (ms)",
        "E2E (ms)",
        "preemptions",
        "end",
    ];
    let count =
        Signal::derive(move || shown.with(|shown| shown.as_ref().map_or(0, |shown| shown.seen.requests.id.len())));
    let row = move |index: usize| {
        shown.with(|shown| {
            let Some(shown) = shown else { return Vec::new() };
            let requests = &shown.seen.requests;
            let whole =
                |column: &[u32]| column.get(index).map_or_else(String::new, |value| format::grouped(f64::from(*value)));
            let millis = |column: &[i64]| match column.get(index) {
                Some(value) if *value >= 0 => format::number(*value as f64 / 1000.0, 4),
                _ => "–".to_owned(),
            };
            let fate = requests.fate.get(index).and_then(|fate| plimsoll_protocol::lab::FATES.get(usize::from(*fate)));
            vec![
                requests.id.get(index).map(u32::to_string).unwrap_or_default(),
                requests.replica.get(index).map(u32::to_string).unwrap_or_default(),
                format::number(timeline::arrival(requests, index) as f64 / 1e6, 6),
                whole(&requests.input_tokens),
                whole(&requests.output_tokens),
                whole(&requests.cached_tokens),
                millis(&requests.ttft),
                millis(&requests.e2e),
                whole(&requests.preemptions),
                fate.map(|fate| (*fate).to_owned()).unwrap_or_default(),
            ]
        })
    };
    view! {
        <Rows
            label="requests"
            id="request-rows"
            columns=Signal::stored(columns.map(str::to_owned).to_vec())
            count=count
            row=row
            chosen=Signal::stored(None)
            on_choose=|_| {}
        />
    }
}

/// Notes the request at a place of the canvas.
fn point(
    shown: Signal<Option<Shown>>,
    window: Window,
    (_, height): (f64, f64),
    [x, y]: [f64; 2],
    chosen: RwSignal<Option<usize>>,
    tip: RwSignal<Option<(f64, f64)>>,
) {
    let is_inside = (0.0..1.0).contains(&x) && (0.0..1.0).contains(&y);
    let row = shown.with_untracked(|shown| {
        shown
            .as_ref()
            .filter(|_| is_inside)
            .and_then(|shown| timeline::row_at(&shown.pyramid, window, height - AXIS, y))
    });
    if chosen.get_untracked() != row {
        chosen.set(row);
    }
    tip.set(row.map(|_| (x, y * (height - AXIS) + 12.0)));
}

/// Draws what is in sight.
fn paint(
    canvas: &HtmlCanvasElement,
    shown: &Shown,
    window: Window,
    (width, height): (f64, f64),
    chosen: Option<usize>,
) {
    let context =
        canvas.get_context("2d").ok().flatten().and_then(|context| context.dyn_into::<CanvasRenderingContext2d>().ok());
    let (Some(context), Some(browser)) = (context, web_sys::window()) else { return };
    if width < 1.0 || height < 1.0 {
        return;
    }
    let scale = browser.device_pixel_ratio().clamp(1.0, 3.0);
    let pixels = |length: f64| (length * scale).round() as u32;
    if canvas.width() != pixels(width) || canvas.height() != pixels(height) {
        canvas.set_width(pixels(width));
        canvas.set_height(pixels(height));
    }
    let style = browser.get_computed_style(canvas).ok().flatten();
    let color = |name: &str| style.as_ref().and_then(|style| style.get_property_value(name).ok()).unwrap_or_default();
    let _ = context.set_transform(scale, 0.0, 0.0, scale, 0.0, 0.0);
    context.clear_rect(0.0, 0.0, width, height);
    let bottom = height - AXIS;
    let [start, end] = window.time;
    let [first, last] = window.rows;
    let (per_micro, per_row) = (width / (end - start).max(1.0), bottom / (last - first).max(1e-9));
    context.set_font("11px system-ui, sans-serif");
    context.set_fill_style_str(&color("--chart-grid"));
    let ticks = timeline::ticks(window.time, (width / 110.0) as usize);
    for tick in &ticks {
        context.fill_rect((tick * 1e6 - start) * per_micro, 0.0, 1.0, bottom);
    }
    // One pass a phase: changing colors costs more than drawing.
    let rows_per_line = (last - first) / bottom;
    let requests = &shown.seen.requests;
    let lines: Vec<(usize, usize, usize)> = shown.pyramid.lines(window.rows, rows_per_line).collect();
    for (phase, name) in COLORS.into_iter().enumerate() {
        context.set_fill_style_str(&color(name));
        for (row, from, group) in &lines {
            let y = (*from as f64 - first) * per_row;
            let thick = *group as f64 * per_row;
            let gap = if thick > 4.0 { 1.0 } else { 0.0 };
            for (since, until, _) in
                timeline::spans(requests, *row).filter(|(_, _, found)| usize::from(*found) == phase)
            {
                let left = ((since as f64 - start) * per_micro).max(-1.0);
                let right = ((until as f64 - start) * per_micro).min(width + 1.0);
                if right >= 0.0 && left <= width {
                    context.fill_rect(left, y, (right - left).max(0.75), (thick - gap).max(0.75));
                }
            }
        }
    }
    if let Some((_, from, group)) = chosen.and_then(|row| lines.iter().find(|(found, ..)| *found == row)) {
        context.set_stroke_style_str(&color("--text"));
        context.stroke_rect(
            -1.0,
            (*from as f64 - first) * per_row - 0.5,
            width + 2.0,
            (*group as f64 * per_row).max(2.0) + 1.0,
        );
    }
    context.set_fill_style_str(&color("--surface"));
    context.fill_rect(0.0, bottom, width, AXIS);
    context.set_fill_style_str(&color("--text-quiet"));
    for (index, tick) in ticks.iter().enumerate() {
        let x = (tick * 1e6 - start) * per_micro;
        // A name that would be cut off at the edge is left out.
        if let Some(label) = timeline::tick_label(&ticks, index).filter(|_| x < width - 40.0) {
            let _ = context.fill_text(&label, x + 3.0, height - 5.0);
        }
    }
}

/// Follows the canvas's size on the page.
fn watch_size(canvas: NodeRef<html::Canvas>, size: RwSignal<(f64, f64)>) {
    let measure = move || {
        let Some(element) = canvas.try_get_untracked().flatten() else { return };
        let place = element.get_bounding_client_rect();
        if place.width() > 0.0 && size.get_untracked() != (place.width(), place.height()) {
            size.set((place.width(), place.height()));
        }
    };
    let on_resize = Closure::<dyn Fn()>::new(measure);
    let observer = ResizeObserver::new(on_resize.as_ref().unchecked_ref()).ok();
    let kept = StoredValue::new_local((observer, on_resize));
    Effect::new(move |_| {
        if let Some(element) = canvas.get() {
            kept.with_value(|(observer, _)| observer.iter().for_each(|observer| observer.observe(&element)));
            measure();
        }
    });
}

/// Leaves how long a drawing took on the browser's timeline, microseconds, where a measurement can find it.
fn mark_frame(millis: f64) {
    mark("plimsoll:timeline-drawn", Some((millis * 1000.0).max(0.0) as u64));
}

fn now() -> f64 {
    web_sys::window().and_then(|window| window.performance()).map_or(0.0, |performance| performance.now())
}
