//! Shares of a whole as labelled bars; the numbers stand beside them, so the bars are decoration.

use leptos::prelude::*;

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Name.
    pub label: String,
    /// Text at the end.
    pub text: String,
    /// Length, 0–1; none for a line without a bar.
    pub ratio: Option<f64>,
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
    view! {
        <table class="shares">
            <caption>{caption}</caption>
            <tbody>
                {move || {
                    bars.get()
                        .into_iter()
                        .map(|bar| {
                            let width = bar.ratio.map(|ratio| format!("width:{:.2}%", ratio.clamp(0.0, 1.0) * 100.0));
                            view! {
                                <tr>
                                    <th scope="row">{bar.label}</th>
                                    <td class="bar" aria-hidden="true">{width.map(|width| view! { <i style=width></i> })}</td>
                                    <td class="number">{bar.text}</td>
                                </tr>
                            }
                        })
                        .collect_view()
                }}
            </tbody>
        </table>
    }
}
