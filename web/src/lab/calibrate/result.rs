//! What came of a fit: errors, charts, coefficients, and what can be done with them.

use super::chart::PlotChart;
use super::plot::{self, METRICS, Over, Plot};
use super::state::{Calibrate, Phase};
use super::words;
use crate::components::segmented::{Segment, Segmented};
use crate::view_model::format;
use leptos::prelude::*;
use plimsoll_core::calibrate::{Fit, Interval, RunReport};

/// Everything about the best coefficients so far; it follows a fit that goes on.
#[component]
pub fn Outcome() -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let metric = RwSignal::new(0_usize);
    let over = RwSignal::new(Over::Time);
    let report = calibrate.report;
    let plot = move |make: fn(&[Vec<RunReport>; 2], usize) -> Plot| {
        Signal::derive(move || {
            report.with(|report| report.as_ref().map(|report| make(&report.runs, metric.get())).unwrap_or_default())
        })
    };
    let residuals = Signal::derive(move || {
        report.with(|report| {
            report.as_ref().map(|report| plot::residuals(&report.runs, metric.get(), over.get())).unwrap_or_default()
        })
    });
    let history = Signal::derive(move || {
        let (done, total) = calibrate.progress.get();
        let total = if calibrate.phase.get() == Phase::Fitting { total } else { done };
        calibrate.best.with(|best| plot::history(best, (done, total)))
    });
    let is_usable = Memo::new(move |_| calibrate.fit.with(Option::is_some) && calibrate.phase.get() != Phase::Fitting);
    let headline =
        move || report.with(|report| report.as_ref().map(|report| words::headline(&report.runs)).unwrap_or_default());
    let has_report = Memo::new(move |_| report.with(Option::is_some));
    let metrics: Vec<Segment> = METRICS
        .iter()
        .enumerate()
        .map(|(index, name)| Segment { id: index.to_string(), label: (*name).to_owned(), obstacle: String::new() })
        .collect();
    let overs: Vec<Segment> = [("time", "time"), ("input", "prompt"), ("output", "output")]
        .map(|(id, label)| Segment { id: id.into(), label: label.into(), obstacle: String::new() })
        .to_vec();
    view! {
        <section class="panel outcome" aria-labelledby="calibrate-outcome" data-testid="calibrate-outcome">
            <h2 id="calibrate-outcome">"Result"</h2>
            <p aria-live="polite" data-testid="calibrate-headline">{headline}</p>
            <p class="help">{move || report.with(|report| report.as_ref().map(|report| {
                let range = report.calibrated_on.range();
                if range.is_empty() { String::new() } else { format!("It stands for {range}.") }
            }))}</p>
            <div class="actions">
                <button type="button" class="primary" data-testid="calibrate-apply" disabled=move || !is_usable.get() on:click=move |_| calibrate.apply()>
                    "Apply to the curve"
                </button>
                <button type="button" data-testid="calibrate-download" disabled=move || !is_usable.get() on:click=move |_| calibrate.download_fit()>
                    "Download fit.yaml"
                </button>
                <button type="button" data-testid="calibrate-study" disabled=move || !is_usable.get() on:click=move |_| calibrate.download_study()>
                    "Download study.json"
                </button>
            </div>
            <p class="help">
                "The command line reads fit.yaml. study.json holds every trial and the times and lengths of the requests, so that the fit can be gone on with later."
            </p>
        </section>
        <div class="charts-of">
            <Segmented
                name="calibrate-metric"
                legend="Charts of"
                segments=Signal::stored(metrics)
                value=Signal::derive(move || metric.get().to_string())
                on_choose=move |id: String| metric.set(id.parse().unwrap_or(0))
            />
        </div>
        <div class="charts pair">
            <PlotChart title="Measured and simulated" id="calibrate-overlay" plot=plot(plot::distribution) />
            <PlotChart title="Request by request" id="calibrate-scatter" plot=plot(plot::scatter) />
            <PlotChart
                title="Errors"
                id="calibrate-residuals"
                plot=residuals
                control=ViewFn::from(move || {
                    let overs = overs.clone();
                    view! {
                        <Segmented
                            name="calibrate-over"
                            legend="Errors over"
                            is_legend_hidden=true
                            segments=Signal::stored(overs)
                            value=Signal::derive(move || match over.get() {
                                Over::Time => "time".to_owned(),
                                Over::Input => "input".to_owned(),
                                Over::Output => "output".to_owned(),
                            })
                            on_choose=move |id: String| over.set(match id.as_str() {
                                "input" => Over::Input,
                                "output" => Over::Output,
                                _ => Over::Time,
                            })
                        />
                    }
                })
            />
            <PlotChart title="Search" id="calibrate-history" plot=history />
        </div>
        {move || has_report.get().then(|| view! { <Errors /> })}
        {move || calibrate.fit.get().map(|fit| view! { <Coefficients fit=fit /> })}
    }
}

/// Errors of each run, with the grades.
#[component]
fn Errors() -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let rows = move || {
        calibrate.report.with(|report| {
            let Some(report) = report else { return Vec::new() };
            let sides = report.runs.iter().enumerate();
            let rows = sides.flat_map(|(side, runs)| runs.iter().map(move |run| (run, side)));
            rows.map(|(run, side)| (run.clone(), words::kind_of(&report.runs, side, run))).collect()
        })
    };
    let overloads = move || {
        let overload = calibrate.used_settings().overload;
        calibrate
            .report
            .with(|report| report.as_ref().map(|report| words::overloads(&report.runs, overload)).unwrap_or_default())
    };
    view! {
        <section class="panel" aria-labelledby="calibrate-errors-title" data-testid="calibrate-errors">
            <h3 id="calibrate-errors-title">"Errors of each run (%)"</h3>
            <div class="table whole" tabindex="0" role="region" aria-label="Table: errors of each run">
                <table>
                    <thead><tr>
                        <th scope="col">"run"</th>
                        <th scope="col">"used"</th>
                        {words::ERRORS.iter().map(|(_, head)| view! { <th scope="col">{*head}</th> }).collect_view()}
                    </tr></thead>
                    <tbody>
                        {move || rows().into_iter().map(|(run, kind)| view! {
                            <tr>
                                <th scope="row">{run.name.clone()}</th>
                                <td>{kind}</td>
                                {words::ERRORS.iter().map(|(name, _)| view! { <td>{words::error(&run, name)}</td> }).collect_view()}
                            </tr>
                        }).collect_view()}
                    </tbody>
                </table>
            </div>
            <div data-testid="calibrate-overloads">
                {move || overloads().into_iter().map(|text| view! { <p class="problem warning">{text}</p> }).collect_view()}
            </div>
            <h3>"Grades"</h3>
            <p class="help">
                "A grade asks for a small error and for long requests being predicted as the long ones. Where all took about the same time, their order is chance, and a grade is poor in spite of a small error."
            </p>
            <div class="table whole" tabindex="0" role="region" aria-label="Table: grades">
                <table>
                    <thead><tr>
                        <th scope="col">"run"</th><th scope="col">"metric"</th><th scope="col">"grade"</th>
                        <th scope="col">"MAPE (%)"</th><th scope="col">"correlation"</th><th scope="col">"bias"</th>
                        <th scope="col">"measured p50, p99 (ms)"</th><th scope="col">"simulated p50, p99 (ms)"</th>
                    </tr></thead>
                    <tbody>
                        {move || rows().into_iter().flat_map(|(run, kind)| {
                            let how = if run.is_by_request { "" } else { ", by rank" };
                            let name = format!("{} ({kind}{how})", run.name);
                            let compared = METRICS.iter().zip(run.comparisons.clone());
                            compared.filter_map(move |(metric, comparison)| {
                                let found = comparison?;
                                let pair = |low: f64, high: f64| format!("{}, {}", format::number(low, 3), format::number(high, 3));
                                Some(view! {
                                    <tr>
                                        <th scope="row">{name.clone()}</th>
                                        <td>{*metric}</td>
                                        <td>{words::grade(&found)}</td>
                                        <td>{format!("{:.1}", found.mape * 100.0)}</td>
                                        <td>{format!("{:.3}", found.pearson_r)}</td>
                                        <td>{words::bias(&found)}</td>
                                        <td>{pair(found.measured.p50, found.measured.p99)}</td>
                                        <td>{pair(found.predicted.p50, found.predicted.p99)}</td>
                                    </tr>
                                })
                            }).collect::<Vec<_>>()
                        }).collect_view()}
                    </tbody>
                </table>
            </div>
        </section>
    }
}

/// The coefficients in microseconds, and how well the logs determine them.
#[component]
fn Coefficients(fit: Fit) -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let note = move || calibrate.intervals.with(|intervals| words::identifiability(intervals));
    view! {
        <section class="panel" aria-labelledby="calibrate-coefficients-title" data-testid="calibrate-coefficients">
            <h3 id="calibrate-coefficients-title">"Coefficients"</h3>
            <p class="help" data-testid="calibrate-identifiability">{note}</p>
            <CoefficientTable fit=fit intervals=calibrate.intervals />
        </section>
    }
}

/// Each coefficient of a fit with its meaning.
#[component]
pub fn CoefficientTable(
    /// The fit.
    fit: Fit,
    /// How well the logs determine each; left out where nobody measured that.
    #[prop(optional, into)]
    intervals: Option<Signal<Vec<Interval>>>,
) -> impl IntoView {
    let (model, batching) = (fit.model, fit.batching());
    let names = model.alpha_names().iter().chain(model.beta_names()).copied();
    let rows: Vec<(&str, f64)> = names.zip(fit.alpha.into_iter().chain(fit.beta)).collect();
    view! {
        <div class="table whole" tabindex="0" role="region" aria-label="Table: coefficients">
            <table>
                <thead><tr>
                    <th scope="col">"name"</th><th scope="col">"what it is"</th><th scope="col">"value"</th>
                    {intervals.map(|_| view! { <th scope="col">"95 % interval"</th> })}
                </tr></thead>
                <tbody>
                    {rows.into_iter().map(|(name, value)| {
                        let (factor, unit) = model.unit(name);
                        let value = match batching.filter(|_| name == "beta6") {
                            Some(batching) => batching.words().to_owned(),
                            None => words::coefficient(value * factor, unit),
                        };
                        view! {
                            <tr>
                                <th scope="row">{words::symbol(name)}</th>
                                <td>{model.meaning(name)}</td>
                                <td>{value}</td>
                                {intervals.map(|intervals| view! {
                                    <td>{move || intervals.with(|intervals| words::interval(intervals, name, factor))}</td>
                                })}
                            </tr>
                        }
                    }).collect_view()}
                </tbody>
            </table>
        </div>
    }
}
