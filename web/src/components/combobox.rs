//! A field that searches a list: type to filter, arrows to move, Enter to take.

use leptos::ev::KeyboardEvent;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Value.
    pub id: String,
    /// Text.
    pub label: String,
    /// Whether it can be taken.
    pub is_available: bool,
    /// Small print: why it cannot be taken, or what comes with it.
    pub reason: String,
}

/// Entries that contain every word of the text.
fn matching(entries: &[Entry], text: &str) -> Vec<Entry> {
    let words: Vec<String> = text.split_whitespace().map(str::to_ascii_lowercase).collect();
    let fits = |entry: &&Entry| {
        let name = format!("{} {}", entry.id, entry.label).to_ascii_lowercase();
        words.iter().all(|word| name.contains(word))
    };
    // What can be taken comes first; the order is otherwise that of the list.
    let (mut free, blocked): (Vec<Entry>, Vec<Entry>) =
        entries.iter().filter(fits).cloned().partition(|entry| entry.is_available);
    free.extend(blocked);
    free
}

/// The searching field.
#[component]
pub fn Combobox(
    /// Id of the field, unique on the page.
    id: &'static str,
    /// Label.
    label: &'static str,
    /// One line of help.
    help: &'static str,
    /// The value in force, as text.
    #[prop(into)]
    value: Signal<String>,
    /// The list.
    #[prop(into)]
    entries: Signal<Vec<Entry>>,
    /// It opens, and the list is wanted.
    on_open: impl Fn() + Copy + Send + Sync + 'static,
    /// Takes an entry.
    on_choose: impl Fn(String) + Copy + Send + Sync + 'static,
) -> impl IntoView {
    let text: RwSignal<Option<String>> = RwSignal::new(None);
    let marked: RwSignal<usize> = RwSignal::new(0);
    let is_open = move || text.with(Option::is_some);
    let found = Memo::new(move |_| {
        text.with(|text| text.as_deref().map_or_else(Vec::new, |text| entries.with(|all| matching(all, text))))
    });
    let open = move || {
        if text.with_untracked(Option::is_none) {
            on_open();
            marked.set(0);
            text.set(Some(String::new()));
        }
    };
    let take = move |entry: &Entry| {
        if entry.is_available {
            text.set(None);
            on_choose(entry.id.clone());
        }
    };
    let list_id = format!("{id}-list");
    let option_id = move |index: usize| format!("{id}-option-{index}");
    let scroll_to = move |index: usize| {
        let element = web_sys::window().and_then(|window| window.document()?.get_element_by_id(&option_id(index)));
        if let Some(option) = element.and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok())
            && let Some(list) = option.parent_element()
        {
            let (top, bottom) = (option.offset_top(), option.offset_top() + option.offset_height());
            if top < list.scroll_top() {
                list.set_scroll_top(top);
            } else if bottom > list.scroll_top() + list.client_height() {
                list.set_scroll_top(bottom - list.client_height());
            }
        }
    };
    let on_key = move |event: KeyboardEvent| {
        let last = found.with_untracked(Vec::len).saturating_sub(1);
        let present = marked.get_untracked();
        match event.key().as_str() {
            "ArrowDown" | "ArrowUp" if text.with_untracked(Option::is_none) => {
                event.prevent_default();
                open();
            }
            "ArrowDown" => {
                event.prevent_default();
                marked.set((present + 1).min(last));
                scroll_to((present + 1).min(last));
            }
            "ArrowUp" => {
                event.prevent_default();
                marked.set(present.saturating_sub(1));
                scroll_to(present.saturating_sub(1));
            }
            "Enter" => {
                event.prevent_default();
                if let Some(entry) = found.with_untracked(|found| found.get(present).cloned()) {
                    take(&entry);
                }
            }
            "Escape" if text.with_untracked(Option::is_some) => {
                event.prevent_default();
                event.stop_propagation();
                text.set(None);
            }
            _ => {}
        }
    };
    view! {
        <div class="control combobox">
            <label for=id>{label}</label>
            <input
                id=id
                type="text"
                role="combobox"
                autocomplete="off"
                spellcheck="false"
                aria-autocomplete="list"
                aria-describedby=format!("{id}-help {id}-problems")
                aria-expanded=move || is_open().to_string()
                aria-controls=list_id.clone()
                aria-activedescendant=move || is_open().then(|| option_id(marked.get()))
                placeholder=move || if is_open() { value.get() } else { String::new() }
                prop:value=move || text.get().unwrap_or_else(|| value.get())
                on:focus=move |_| open()
                on:click=move |_| open()
                on:input=move |event| {
                    open();
                    text.set(Some(event_target_value(&event)));
                    marked.set(0);
                }
                on:blur=move |_| text.set(None)
                on:keydown=on_key
            />
            <p id=format!("{id}-help") class="help">{help}</p>
            <ul id=list_id role="listbox" aria-label=label hidden=move || !is_open()>
                {move || {
                    found
                        .get()
                        .into_iter()
                        .enumerate()
                        .map(|(index, entry)| {
                            let taken = entry.clone();
                            view! {
                                <li
                                    id=option_id(index)
                                    role="option"
                                    aria-selected=move || (marked.get() == index).to_string()
                                    aria-disabled=(!entry.is_available).to_string()
                                    // Before the field loses its focus and with it the list.
                                    on:mousedown=move |event| {
                                        event.prevent_default();
                                        take(&taken);
                                    }
                                >
                                    <span>{entry.label.clone()}</span>
                                    {(!entry.reason.is_empty()).then(|| view! { <small>{entry.reason.clone()}</small> })}
                                </li>
                            }
                        })
                        .collect_view()
                }}
                {move || {
                    (is_open() && found.with(Vec::is_empty) && !entries.with(Vec::is_empty))
                        .then(|| view! { <li role="option" aria-disabled="true" aria-selected="false">"Nothing has this name."</li> })
                }}
            </ul>
        </div>
    }
}
