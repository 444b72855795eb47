//! What is wrong with an input, below it.

use leptos::prelude::*;
use plimsoll_core::diagnostic::{Diagnostic, Severity};

/// Problems with their places in front, where nothing else on the screen shows them.
#[must_use]
pub fn placed(problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let put_in_front = |mut problem: Diagnostic| {
        if !problem.path.is_empty() {
            problem.message = format!("{}: {}", problem.path, problem.message);
        }
        problem
    };
    problems.into_iter().map(put_in_front).collect()
}

/// Problems in words, errors before warnings as they come.
#[component]
pub fn Problems(
    /// Id for `aria-describedby`.
    id: String,
    /// The problems.
    #[prop(into)]
    problems: Signal<Vec<Diagnostic>>,
) -> impl IntoView {
    view! {
        <div id=id class="problems">
            {move || {
                problems
                    .get()
                    .into_iter()
                    .map(|problem| {
                        let is_error = problem.severity == Severity::Error;
                        view! {
                            <p class=if is_error { "problem error" } else { "problem warning" }>
                                <strong>{if is_error { "Error: " } else { "Note: " }}</strong>
                                {sentence(&problem.message)}
                                {(!problem.hint.is_empty()).then(|| format!(" {}", sentence(&problem.hint)))}
                            </p>
                        }
                    })
                    .collect_view()
            }}
        </div>
    }
}

/// A diagnostic's text as a sentence: capital first but for the name of a setting, full stop last.
#[must_use]
pub fn sentence(text: &str) -> String {
    let is_name = text.split(' ').next().is_some_and(|word| word.contains('_'));
    let mut letters = text.chars();
    let first = letters.next().map(|first| if is_name { first } else { first.to_ascii_uppercase() });
    let first: String = first.into_iter().collect();
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}
