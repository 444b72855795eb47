//! The lab's state, its mounting into the page, and its tabs.

use super::bridge::Bridge;
use super::crew::Crew;
use super::intake::{self, Given};
use super::traces::Traces;
use super::{calibrate, run, workload};
use leptos::prelude::*;
use plimsoll_protocol::view::Tab;
use std::cell::RefCell;
use wasm_bindgen::prelude::*;
use web_sys::HtmlElement;

/// What the page says of its scenario.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scene {
    /// The scenario as JSON; empty until the desk has answered for the first time.
    pub scenario: String,
    /// Hash of the trace it replays; empty if it replays none.
    pub trace: String,
    /// Whether it can be simulated.
    pub is_usable: bool,
    /// Highest rate that keeps the SLO, requests per second to the whole cluster, as far as it is known.
    pub capacity: Option<f64>,
    /// Highest rate that is sustained, requests per second to the whole cluster, as far as it is known.
    pub saturation: Option<f64>,
    /// Whether a study has come to its end, so that nothing more is to be known of these.
    pub is_studied: bool,
}

/// Share of the capacity at which a deployment is looked at unless somebody asks for another rate.
pub const USUAL_LOAD: f64 = 0.8;

/// Where the rate of a run comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateOrigin {
    /// Somebody chose it.
    Chosen,
    /// [`USUAL_LOAD`] of the capacity.
    Capacity,
    /// [`USUAL_LOAD`] of the saturation, because no rate keeps the SLO.
    Saturation,
    /// Neither is known, and no study will tell.
    Unknown,
}

/// The lab's state; a handle that is copied freely.
#[derive(Clone, Copy)]
pub struct Lab {
    /// The page's scenario.
    pub scene: RwSignal<Scene>,
    /// The open tab; none while the page shows something else.
    pub tab: RwSignal<Option<Tab>>,
    /// Files the user gave, for the tab they are meant for to take away.
    pub files: RwSignal<Option<(Tab, Given)>, LocalStorage>,
    /// The traces the lab's workers know.
    pub traces: Traces,
    /// The rate somebody asked for, requests per second to the whole cluster; none for the usual one.
    pub rate: RwSignal<Option<f64>>,
    /// Grows when colours may have changed.
    pub theme: RwSignal<u32>,
    /// Workers; none until they have been loaded.
    pub crew: RwSignal<Option<Crew>, LocalStorage>,
    /// What was asked before there were workers, in order.
    asked_early: StoredValue<Vec<Early>, LocalStorage>,
    bridge: StoredValue<Bridge, LocalStorage>,
}

/// A question that waits for workers.
type Early = Box<dyn FnOnce(&Crew)>;

impl Lab {
    /// Calls the page.
    pub fn page<T>(&self, call: impl FnOnce(&Bridge) -> T) -> T {
        self.bridge.with_value(call)
    }

    /// Asks the workers, or as soon as there are any: a file may be given before they have loaded.
    pub fn with_crew(&self, ask: impl FnOnce(&Crew) + 'static) {
        match self.crew.get_untracked() {
            Some(crew) => ask(&crew),
            None => self.asked_early.update_value(|asked| asked.push(Box::new(ask))),
        }
    }

    /// The rate at which runs are looked at, requests per second to the whole cluster, and where it comes from; none
    /// while the page's study has not told it yet.
    #[must_use]
    pub fn request_rate(&self) -> Option<(f64, RateOrigin)> {
        if let Some(rate) = self.rate.get() {
            return Some((rate, RateOrigin::Chosen));
        }
        self.scene.with(|scene| {
            let usual = |rate: Option<f64>| rate.filter(|rate| *rate > 0.0).map(|rate| rate * USUAL_LOAD);
            if let Some(rate) = usual(scene.capacity) {
                return Some((rate, RateOrigin::Capacity));
            }
            let is_over = scene.is_studied || (!scene.is_usable && !scene.scenario.is_empty());
            let rest =
                usual(scene.saturation).map_or((1.0, RateOrigin::Unknown), |rate| (rate, RateOrigin::Saturation));
            is_over.then_some(rest)
        })
    }

    /// The files that are meant for a tab, once it is open and there are workers to read them; they are then taken.
    #[must_use]
    pub fn take_files(&self, tab: Tab) -> Option<Given> {
        let is_ready = self.is_open(tab) && self.crew.with(Option::is_some);
        if !(is_ready && self.files.with(|given| given.as_ref().is_some_and(|(of, _)| *of == tab))) {
            return None;
        }
        let (_, given) = self.files.get_untracked()?;
        self.files.set(None);
        Some(given)
    }

    /// Whether a tab is the one to be seen, so that its work is wanted.
    #[must_use]
    pub fn is_open(&self, tab: Tab) -> bool {
        self.tab.get() == Some(tab)
    }
}

thread_local! {
    static LAB: RefCell<Option<Lab>> = const { RefCell::new(None) };
    /// For a panic alone, when the state must not be touched any more.
    static PAGE: RefCell<Option<Bridge>> = const { RefCell::new(None) };
}

/// The lab of the component that asks.
#[must_use]
pub fn lab() -> Lab {
    expect_context()
}

/// Puts the lab into an element of the page and has its workers loaded.
pub fn mount(element: HtmlElement, bridge: Bridge) {
    tell_of_panics(&bridge);
    let view = move || {
        let lab = Lab {
            scene: RwSignal::new(Scene::default()),
            tab: RwSignal::new(None),
            files: RwSignal::new_local(None),
            traces: Traces::new(),
            rate: RwSignal::new(None),
            theme: RwSignal::new(0),
            crew: RwSignal::new_local(None),
            asked_early: StoredValue::new_local(Vec::new()),
            bridge: StoredValue::new_local(bridge),
        };
        provide_context(lab);
        LAB.set(Some(lab));
        listen(lab);
        lab.traces.follow(lab);
        leptos::task::spawn_local(async move {
            match Crew::load().await {
                Ok(crew) => {
                    lab.crew.set(Some(crew.clone()));
                    let asked = lab.asked_early.try_update_value(std::mem::take).unwrap_or_default();
                    asked.into_iter().for_each(|ask| ask(&crew));
                }
                Err(reason) => lab.page(|page| page.broken(&reason)),
            }
        });
        view! { <Tabs /> }
    };
    // It stays for as long as the page does.
    leptos::mount::mount_to(element, view).forget();
}

/// Shows a tab, or nothing if the name is of none.
pub fn show(tab: &str) {
    if let Some(lab) = LAB.with_borrow(|lab| *lab) {
        lab.tab.set(Tab::from_id(tab));
    }
}

/// Takes files and folders the user gave.
pub fn open(given: Vec<JsValue>) {
    if let Some(lab) = LAB.with_borrow(|lab| *lab) {
        intake::take(lab, given);
    }
}

/// Every tab that was opened once, so that what was done there is still there on return.
#[component]
fn Tabs() -> impl IntoView {
    let lab = lab();
    let panel = move |tab: Tab, view: fn() -> AnyView| {
        let was_opened =
            Memo::new(move |before: Option<&bool>| before.copied().unwrap_or_default() || lab.is_open(tab));
        view! {
            <div hidden=move || !lab.is_open(tab) data-testid=format!("lab-{}", tab.id())>
                {move || was_opened.get().then(view)}
            </div>
        }
    };
    view! {
        {panel(Tab::Workload, || view! { <workload::WorkloadView /> }.into_any())}
        {panel(Tab::Run, || view! { <run::RunView /> }.into_any())}
        {panel(Tab::Calibrate, || view! { <calibrate::CalibrateView /> }.into_any())}
    }
}

/// Follows the page's scenario, capacity and colours.
fn listen(lab: Lab) {
    let hear = Closure::<dyn Fn()>::new(move || {
        let scene = lab.page(|page| {
            let state = page.state();
            Scene {
                scenario: state.scenario(),
                trace: state.trace(),
                is_usable: state.is_usable(),
                capacity: state.capacity(),
                saturation: state.saturation(),
                is_studied: state.is_studied(),
            }
        });
        // While a study goes on, what the one before it found is the best that is known.
        let scene = lab.scene.with_untracked(|known| {
            let is_open = scene.is_usable && !scene.is_studied;
            let kept = |new: Option<f64>, old: Option<f64>| if is_open { new.or(old) } else { new };
            Scene {
                capacity: kept(scene.capacity, known.capacity),
                saturation: kept(scene.saturation, known.saturation),
                ..scene
            }
        });
        if lab.scene.with_untracked(|known| *known != scene) {
            lab.scene.set(scene);
        }
        lab.theme.update(|theme| *theme += 1);
    });
    lab.page(|page| page.subscribe(hear.as_ref().unchecked_ref()));
    // The page calls it for as long as it lives.
    hear.forget();
}

/// A panic ends this module; the page says so and offers to load it again.
fn tell_of_panics(bridge: &Bridge) {
    PAGE.set(Some(JsValue::from(bridge).unchecked_into()));
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        PAGE.with_borrow(|page| page.iter().for_each(|page| page.broken(&info.to_string())));
    }));
}
