//! The answer: one sentence, what it rests on, and the numbers behind it.

use crate::components::problems::sentence;
use crate::page::page;
use crate::view_model::headline;
use leptos::prelude::*;
use plimsoll_core::diagnostic::Severity;
use plimsoll_protocol::Edit;

/// Headline and key numbers.
#[component]
pub fn Answer() -> impl IntoView {
    let page = page();
    let answer = Memo::new(move |_| {
        page.shown.with(|shown| {
            shown.as_ref().map(|shown| headline::headline(&shown.curve, &shown.basics.slo, &shown.basics.settings))
        })
    });
    let basis = Memo::new(move |_| page.shown.with(|shown| shown.as_ref().map(|shown| headline::badge(&shown.basics))));
    let beyond = Memo::new(move |_| {
        page.shown.with(|shown| {
            shown.as_ref().map_or_else(Vec::new, |shown| {
                page.diagnostics.with(|all| headline::beyond(&shown.basics, &shown.curve, all))
            })
        })
    });
    let deployment =
        Memo::new(move |_| page.shown.with(|shown| shown.as_ref().map(|shown| shown.basics.deployment.clone())));
    let filled_in = Memo::new(move |_| {
        page.shown.with(|shown| shown.as_ref().map(|shown| shown.basics.filled_in.join("; ")).unwrap_or_default())
    });
    let numbers = Memo::new(move |_| {
        let percentile = page.view.with(|view| view.percentile);
        page.shown.with(|shown| {
            shown.as_ref().map_or_else(Vec::new, |shown| {
                headline::key_numbers(&shown.curve, &shown.basics.slo, percentile, shown.basics.price_usd_per_hour)
            })
        })
    });
    // Read out when a result stands, not for every picture of a drag.
    let spoken = Memo::new(move |before: Option<&String>| {
        let is_settled =
            page.shown.with(|shown| shown.as_ref().is_some_and(|shown| shown.is_full)) && !page.is_stale.get();
        if is_settled {
            answer.get().map(|answer| answer.text()).unwrap_or_default()
        } else {
            before.cloned().unwrap_or_default()
        }
    });
    view! {
        <section class="answer" class:stale=move || page.is_stale.get() aria-labelledby="answer-title">
            <h2 id="answer-title" class="visually-hidden">"Answer"</h2>
            <p class="deployment">
                {move || deployment.get().unwrap_or_else(|| "Default scenario".into())}
                {move || basis.get().map(|(word, text, help)| view! {
                    <details class="basis" data-basis=word>
                        <summary>{text}</summary>
                        <p>{help}</p>
                    </details>
                })}
            </p>
            <p class="headline" data-testid="headline">
                {move || match answer.get() {
                    None => view! { <span>"Simulating the scenario …"</span> }.into_any(),
                    Some(answer) => view! {
                        <span>{answer.lead} " "</span>
                        {(!answer.figure.is_empty()).then(|| view! { <strong>{answer.figure}</strong> })}
                        <span>" " {unbroken(&answer.rest)}</span>
                    }.into_any(),
                }}
            </p>
            <p class="lever">{move || answer.get().map(|answer| unbroken(&answer.lever)).unwrap_or_default()}</p>
            <p class="visually-hidden" aria-live="polite">{spoken}</p>
            {move || beyond.get().into_iter().map(|text| view! {
                <p class="problem warning beyond">"Beyond the fit: " {text} "."</p>
            }).collect_view()}
            <Alerts />
            <ul class="numbers">
                // By position: the names stay and only texts change while a slider moves.
                {move || {
                    let num_numbers = numbers.with(Vec::len);
                    (0..num_numbers)
                        .map(|index| {
                            let part = move |pick: fn(&headline::KeyNumber) -> String| {
                                move || numbers.with(|numbers| numbers.get(index).map(pick).unwrap_or_default())
                            };
                            view! {
                                <li>
                                    <details>
                                        <summary>
                                            <span class="label">{part(|number| number.label.clone())}</span>
                                            <span class="value">{part(|number| number.value.clone())}</span>
                                            <span class="note">{part(|number| number.note.clone())}</span>
                                        </summary>
                                        <p>{part(|number| number.help.to_owned())}</p>
                                    </details>
                                </li>
                            }
                        })
                        .collect_view()
                }}
            </ul>
            {move || (!filled_in.with(String::is_empty)).then(|| view! { <p class="filled-in">"Filled in: " {filled_in}</p> })}
        </section>
    }
}

/// Keeps a number and its percent sign on one line.
fn unbroken(text: &str) -> String {
    text.replace(" %", "\u{a0}%")
}

/// What the user should know before trusting the numbers.
#[component]
fn Alerts() -> impl IntoView {
    let page = page();
    let has_errors =
        Memo::new(move |_| page.diagnostics.with(|all| all.iter().any(|found| found.severity == Severity::Error)));
    let waits_for_answers = Memo::new(move |_| {
        page.diagnostics.with(|all| all.iter().any(|found| found.code == "closed-loop-without-rate"))
    });
    let newer_rules = Memo::new(move |_| {
        page.diagnostics
            .with(|all| all.iter().find(|found| found.code == "newer-rules").map(|found| found.hint.clone()))
    });
    view! {
        {move || page.trouble.get().map(|trouble| view! {
            <p class="problem error" role="alert">{sentence(&trouble)}</p>
        })}
        {move || waits_for_answers.get().then(|| view! {
            <p class="problem error" role="alert" data-testid="no-rate">
                "Everybody in this workload waits for an answer before asking again, so it has no request rate and no curve over one; what you see belongs to the last scenario that has. Look at one run of it in the tab Run, or let "
                <code>"plimsoll curve"</code>
                " go over the number of users. To have a curve here, give a request rate instead: choose another workload, or open one in which somebody does not wait."
            </p>
        })}
        {move || (has_errors.get() && !waits_for_answers.get()).then(|| view! {
            <p class="problem error" role="alert">
                "The scenario cannot be simulated as it is; what you see belongs to the last one that could. The fields with errors say why."
            </p>
        })}
        {move || newer_rules.get().map(|hint| view! {
            <div class="notices" role="status" data-testid="newer-rules">
                <p class="problem warning">
                    "This scenario follows the rules of the reference simulator; vLLM's own are newer. " {sentence(&hint)}
                </p>
                <button
                    type="button"
                    on:click=move |_| page.replace(Edit::NewRules, "Moved to vLLM's rules.")
                >"Move it to vLLM's rules"</button>
            </div>
        })}
        {move || {
            let notices = page.notices.get();
            (!notices.is_empty()).then(|| view! {
                <div class="notices" role="status">
                    <ul>
                        {notices
                            .into_iter()
                            .take(20)
                            .map(|notice| {
                                let class = if notice.severity == Severity::Error { "problem error" } else { "problem warning" };
                                let place = if notice.path.is_empty() { String::new() } else { format!("{}: ", notice.path) };
                                view! { <li class=class>{place} {sentence(&notice.message)} " " {notice.hint}</li> }
                            })
                            .collect_view()}
                    </ul>
                    <button type="button" on:click=move |_| page.notices.set(Vec::new())>"Dismiss"</button>
                </div>
            })
        }}
    }
}
