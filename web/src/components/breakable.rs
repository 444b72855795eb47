//! Long names of settings that may go on in a second line, but not in the middle of a word.

use leptos::prelude::*;

/// The name with places after its underscores where a line may end; its text is the same.
pub fn breakable(name: &str) -> impl IntoView + use<> {
    name.split_inclusive('_').map(|part| view! { {part.to_owned()} <wbr /> }).collect_view()
}
