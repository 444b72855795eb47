//! `plimsoll curve` of users who wait for their answers: latency and throughput over their number.

use crate::arguments::CurveArguments;
use crate::curve::{cells, class_table, headings, remark_loads, studied};
use crate::input::Input;
use crate::output::{Document, Failure, file_failure, tell_line, write_json};
use plimsoll_core::curve::{UsersCurve, UsersStudy, run_users_trial};
use plimsoll_core::report::Verdict;
use plimsoll_core::study::Study;
use serde::Serialize;
use std::io::{self, BufWriter, Write};

/// Studies and prints.
pub fn curve(arguments: &CurveArguments, input: &mut Input, jobs: usize) -> Result<(), Failure> {
    if arguments.require_rate.is_some() {
        return Err(file_failure("--require-rate", "users who wait have no rate; use --require-users"));
    }
    let study = UsersStudy::new(&input.resolved);
    let curve = studied(study, jobs, |trial| run_users_trial(&input.resolved, trial), |_| None).snapshot();
    remark_loads(input, arguments.scenario.log, curve.answered());
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        #[derive(Serialize)]
        struct Result<'a> {
            users_curve: &'a UsersCurve,
        }
        let result = Result { users_curve: &curve };
        write_json(&mut out, &Document::new(&input.scenario, &input.resolved, &input.diagnostics, result))?;
    } else {
        print(&mut out, input.scenario.slo.percentile, &curve)?;
    }
    if let Some(required) = arguments.require_users {
        let capacity = curve.capacity.unwrap_or(0);
        if capacity < required {
            tell_line(format_args!("error: the capacity under the SLO is {capacity} users, {required} are required"));
            return Err(Failure::NotMet);
        }
    }
    Ok(())
}

fn print(out: &mut impl Write, percentile: f64, curve: &UsersCurve) -> Result<(), Failure> {
    writeln!(out, "{:>8} {}", "users", headings(percentile))?;
    for at in &curve.points {
        let point = &at.point;
        let latency = |value: f64| match point.verdict {
            Verdict::Stable => format!("{value:.1}"),
            Verdict::Undecided | Verdict::Backlogged | Verdict::Overloaded => format!("({value:.1})"),
        };
        writeln!(out, "{:>8} {}", at.users, cells(point, latency))?;
    }
    class_table(out, curve.points.iter().map(|at| (format!("{:>8}", at.users), &at.point)))?;
    writeln!(out)?;
    if curve.points.iter().any(|at| at.point.verdict != Verdict::Stable) {
        writeln!(out, "latencies in parentheses are no steady state: they depend on the length of the run")?;
    }
    if let Some(users) = curve.saturation {
        writeln!(out, "saturation point: {users} users reach 95 % of the highest throughput")?;
    }
    let capacity = match (curve.capacity, curve.next_failing) {
        (None, _) => "not found".to_owned(),
        (Some(0), _) => "no number of users of the axis".to_owned(),
        (Some(users), Some(next)) => format!("{users} users ({next} fail)"),
        (Some(users), None) => format!("at least {users} users (the most of the axis)"),
    };
    writeln!(out, "capacity under the SLO: {capacity} (short runs)")?;
    out.flush()?;
    Ok(())
}
