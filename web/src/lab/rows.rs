//! A long table of which only the rows in sight exist.

use leptos::html;
use leptos::prelude::*;

/// Height of a row, CSS pixels; the style sheet gives it to every row.
const ROW: f64 = 28.0;
/// Rows kept beyond the edges of what is in sight.
const BEYOND: usize = 8;

/// A table of any number of rows, each made when it comes into sight.
#[component]
pub fn Rows(
    /// What it is, for screen readers.
    label: &'static str,
    /// Id for tests.
    id: &'static str,
    /// Names of the columns, with units.
    #[prop(into)]
    columns: Signal<Vec<String>>,
    /// How many rows there are.
    #[prop(into)]
    count: Signal<usize>,
    /// The cells of a row; what it reads with tracking makes the rows in sight anew when it changes.
    row: impl Fn(usize) -> Vec<String> + Copy + Send + Sync + 'static,
    /// The row that is chosen.
    #[prop(into)]
    chosen: Signal<Option<usize>>,
    /// Takes the choice of a row.
    on_choose: impl Fn(usize) + Copy + Send + Sync + 'static,
) -> impl IntoView {
    let place: NodeRef<html::Div> = NodeRef::new();
    let first = RwSignal::new(0_usize);
    let in_sight = RwSignal::new(20_usize);
    let look = move || {
        let Some(element) = place.try_get_untracked().flatten() else { return };
        let top = f64::from(element.scroll_top()) / ROW;
        let height = f64::from(element.client_height()) / ROW;
        first.set((top as usize).saturating_sub(BEYOND));
        in_sight.set(height as usize + 2 * BEYOND + 1);
    };
    let range = Memo::new(move |_| {
        let count = count.get();
        let from = first.get().min(count);
        (from, (from + in_sight.get()).min(count), count)
    });
    Effect::new(move |_| {
        count.track();
        if place.get().is_some() {
            look();
        }
    });
    view! {
        <div node_ref=place class="table rows" tabindex="0" role="region" aria-label=format!("Table: {label}") data-testid=id on:scroll=move |_| look()>
            <table aria-rowcount=move || (count.get() + 1).to_string()>
                <thead><tr>
                    {move || columns.get().into_iter().map(|column| view! { <th scope="col">{column}</th> }).collect_view()}
                </tr></thead>
                <tbody>
                    {move || {
                        let (from, to, count) = range.get();
                        let space = |rows: usize| format!("height:{}px", rows as f64 * ROW);
                        view! {
                            <tr class="space" aria-hidden="true" style=space(from)></tr>
                            {(from..to).map(|index| {
                                let mut cells = row(index).into_iter();
                                let head = cells.next();
                                view! {
                                    <tr
                                        aria-rowindex=(index + 2).to_string()
                                        class:chosen=move || chosen.get() == Some(index)
                                        on:click=move |_| on_choose(index)
                                    >
                                        <th scope="row">{head}</th>
                                        {cells.map(|cell| view! { <td>{cell}</td> }).collect_view()}
                                    </tr>
                                }
                            }).collect_view()}
                            <tr class="space" aria-hidden="true" style=space(count - to)></tr>
                        }
                    }}
                </tbody>
            </table>
        </div>
    }
}
