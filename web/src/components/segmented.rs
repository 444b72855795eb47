//! A few choices side by side: radio buttons that look like one control.

use leptos::prelude::*;

/// One of the choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Value.
    pub id: String,
    /// Text.
    pub label: String,
    /// Why it cannot be taken; empty if it can.
    pub obstacle: String,
}

/// Radio buttons in a row.
#[component]
pub fn Segmented(
    /// Name of the group, unique on the page.
    name: &'static str,
    /// What is chosen, in words.
    legend: &'static str,
    /// The choices.
    #[prop(into)]
    segments: Signal<Vec<Segment>>,
    /// The value in force.
    #[prop(into)]
    value: Signal<String>,
    /// Takes a choice.
    on_choose: impl Fn(String) + Copy + Send + Sync + 'static,
    /// Whether the legend is for screen readers alone.
    #[prop(optional)]
    is_legend_hidden: bool,
) -> impl IntoView {
    view! {
        <fieldset class="segmented">
            <legend class:visually-hidden=is_legend_hidden>{legend}</legend>
            <div class="segments">
                <For each=move || segments.get() key=|segment| (segment.id.clone(), segment.label.clone(), segment.obstacle.clone()) let:segment>
                    {
                        let id = segment.id.clone();
                        let chosen = segment.id.clone();
                        let is_free = segment.obstacle.is_empty();
                        view! {
                            <label title=segment.obstacle.clone() class:unavailable=!is_free>
                                <input
                                    type="radio"
                                    name=name
                                    value=id.clone()
                                    disabled=!is_free
                                    prop:checked=move || value.get() == id
                                    on:change=move |_| on_choose(chosen.clone())
                                />
                                <span>{segment.label.clone()}</span>
                            </label>
                        }
                    }
                </For>
            </div>
        </fieldset>
    }
}
