//! A modal dialog: the browser's own, so that focus, Escape and the backdrop behave.

use leptos::html;
use leptos::prelude::*;

/// A dialog that is open while the signal says so.
#[component]
pub fn ModalDialog(
    /// Heading.
    title: &'static str,
    /// Whether it is open.
    #[prop(into)]
    is_open: Signal<bool>,
    /// It was closed, in whichever way.
    on_close: impl Fn() + Copy + 'static,
    /// What is in it.
    children: Children,
) -> impl IntoView {
    let element: NodeRef<html::Dialog> = NodeRef::new();
    Effect::new(move |_| {
        let is_open = is_open.get();
        if let Some(dialog) = element.get() {
            if is_open && !dialog.open() {
                // Refused only for a dialog that is open already.
                let _ = dialog.show_modal();
            } else if !is_open && dialog.open() {
                dialog.close();
            }
        }
    });
    view! {
        <dialog node_ref=element class="modal" aria-label=title on:close=move |_| on_close()>
            <header>
                <h2>{title}</h2>
                <button type="button" class="quiet" aria-label="Close" on:click=move |_| on_close()>
                    <super::icon::Icon path=super::icon::CLOSE />
                </button>
            </header>
            {children()}
        </dialog>
    }
}
