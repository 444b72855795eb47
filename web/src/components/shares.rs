//! Shares of a whole as labelled bars; the numbers stand beside them, so the bars are decoration.

use super::breakable::breakable;
use leptos::prelude::*;

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Name.
    pub label: String,
    /// Text at the end.
    pub text: String,
    /// How it comes about; empty where the name says all.
    pub note: String,
    /// Length, 0–1; none for a line without a bar, as in a table in which no line has one.
    pub ratio: Option<f64>,
    /// Its color, where each has its own.
    pub color: Option<&'static str>,
}

/// The style of a bar of this length, 0–1.
fn bar_style(ratio: f64, color: Option<&str>) -> String {
    format!("width:{:.2}%;background:{}", ratio.min(1.0) * 100.0, color.unwrap_or("var(--accent)"))
}

/// Bars behind each other in one line, which make a whole; the table of them beside it tells what they are.
#[component]
pub fn Stack(
    /// The bars.
    bars: Vec<Bar>,
) -> impl IntoView {
    let part = |bar: Bar| view! { <i style=bar_style(bar.ratio.unwrap_or_default(), bar.color)></i> };
    view! { <div class="stack" aria-hidden="true">{bars.into_iter().map(part).collect_view()}</div> }
}

/// Bars below each other, as a table for those who cannot see them.
#[component]
pub fn Shares(
    /// What they are shares of.
    #[prop(into)]
    caption: Signal<String>,
    /// The bars.
    #[prop(into)]
    bars: Signal<Vec<Bar>>,
) -> impl IntoView {
    // A column without any bar would take room from the names.
    let has_bars = Memo::new(move |_| bars.with(|bars| bars.iter().any(|bar| bar.ratio.is_some())));
    view! {
        <table class="shares" class:barred=has_bars>
            <caption>{caption}</caption>
            <tbody>
                {move || {
                    let has_bars = has_bars.get();
                    bars.get()
                        .into_iter()
                        .map(|bar| {
                            // Nothing has no bar, and anything one that can be seen.
                            let ratio = bar.ratio.filter(|ratio| *ratio > 0.0);
                            let width = ratio.map(|ratio| bar_style(ratio, bar.color));
                            view! {
                                <tr>
                                    <th scope="row">{breakable(&bar.label)}<small>{bar.note}</small></th>
                                    {has_bars.then(|| view! {
                                        <td class="share-bar" aria-hidden="true">{width.map(|width| view! { <i style=width></i> })}</td>
                                    })}
                                    <td class="share-number">{bar.text}</td>
                                </tr>
                            }
                        })
                        .collect_view()
                }}
            </tbody>
        </table>
    }
}
