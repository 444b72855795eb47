//! Public traces of lengths and arrivals: Azure LLM inference and BurstGPT.

use super::NamedColumns;
use super::rows::{Problems, Row, Rows};
use plimsoll_core::time::{SimTime, truncate};
use plimsoll_core::workload::{PrefixTree, Request, Trace};

/// The columns of an Azure trace.
const AZURE: [&str; 3] = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"];
/// The columns of a BurstGPT trace that are read.
const BURST_GPT: [&str; 4] = ["Timestamp", "Request tokens", "Response tokens", "Total tokens"];

/// Whether this is the header of an Azure trace.
pub(super) fn is_azure(header: &Row) -> bool {
    AZURE[1..].iter().any(|name| header.has(name))
}

/// Whether this is the header of a BurstGPT trace.
pub(super) fn is_burst_gpt(header: &Row) -> bool {
    BURST_GPT[1..].iter().any(|name| header.has(name))
}

/// Reads an Azure trace: `TIMESTAMP,ContextTokens,GeneratedTokens` with wall-clock times.
///
/// # Source
/// github.com/Azure/AzurePublicDataset, LLM inference traces of 2023 and 2024.
pub(super) fn read_azure(header: &Row, rows: Rows<'_>, problems: &mut Problems<'_>) -> Option<Trace> {
    let columns = NamedColumns::new(header, &AZURE, AZURE.len(), "an Azure trace", problems)?;
    read(rows, problems, |row, problems| {
        let time = std::str::from_utf8(row.field(columns.at(0))).ok().and_then(ticks);
        if time.is_none() {
            let message = format!("TIMESTAMP is {}, not a date with a time", row.shown(columns.at(0)));
            let hint = "write it like 2023-11-16 18:17:03.9799600";
            problems.row(row, columns.at(0), "trace-invalid-value", message, hint);
        }
        let (input, output) = (columns.number(row, 1, problems), columns.number(row, 2, problems));
        Some(Line { ticks: time?, input_tokens: input?, output_tokens: output?, input_field: columns.at(1) })
    })
}

/// Reads a BurstGPT trace: seconds, and tokens of prompts and answers.
///
/// # Source
/// github.com/HPMLL/BurstGPT.
pub(super) fn read_burst_gpt(header: &Row, rows: Rows<'_>, problems: &mut Problems<'_>) -> Option<Trace> {
    let columns = NamedColumns::new(header, &BURST_GPT, 3, "a BurstGPT trace", problems)?;
    read(rows, problems, |row, problems| {
        let seconds = row.number::<f64>(columns.at(0)).filter(|seconds| seconds.abs() < 1e11);
        if seconds.is_none() {
            let message = format!("Timestamp is {}, not a number of seconds", row.shown(columns.at(0)));
            problems.row(row, columns.at(0), "trace-invalid-value", message, "write seconds such as 12.5");
        }
        let (input, output) = (columns.number::<u32>(row, 1, problems), columns.number::<u32>(row, 2, problems));
        if let (Some(input), Some(output), true) = (input, output, columns.has(3)) {
            let sum = u64::from(input) + u64::from(output);
            let total = columns.number::<u64>(row, 3, problems)?;
            if total != sum {
                let message = format!("Total tokens is {total}, but prompt and answer have {sum} together");
                problems.row(row, columns.at(3), "trace-invalid-value", message, "mend the row, or drop the column");
                return None;
            }
        }
        let ticks = truncate(seconds? * 1e7);
        Some(Line { ticks, input_tokens: input?, output_tokens: output?, input_field: columns.at(1) })
    })
}

/// A row of either.
struct Line {
    /// Tenths of a microsecond since anything.
    ticks: i64,
    input_tokens: u32,
    output_tokens: u32,
    /// Where the input tokens stand.
    input_field: usize,
}

/// Reads the rows; those without an answer are failed requests and left out.
fn read(
    mut rows: Rows<'_>,
    problems: &mut Problems<'_>,
    mut line: impl FnMut(&Row, &mut Problems<'_>) -> Option<Line>,
) -> Option<Trace> {
    let mut lines: Vec<Line> = Vec::new();
    let mut failed = 0u64;
    while let Some(row) = rows.next(problems) {
        let Some(line) = line(&row, problems) else { continue };
        if line.output_tokens == 0 {
            failed += 1;
        } else if line.input_tokens == 0 {
            let hint = "a request needs at least one input token";
            problems.row(&row, line.input_field, "trace-empty-prompt", "the prompt is empty".into(), hint);
        } else {
            lines.push(line);
        }
    }
    if failed > 0 {
        let message = format!("{failed} requests have no answer, as failed ones have, and are left out");
        problems.note("trace-failed-requests", message, "nothing; the others are replayed");
    }
    if problems.has_errors() {
        return None;
    }
    let first = lines.iter().map(|line| line.ticks).min().unwrap_or(0);
    let request = |(id, line): (u32, &Line)| {
        Request::plain(id, SimTime((line.ticks - first) / 10), line.input_tokens, line.output_tokens)
    };
    let requests: Vec<Request> = (0u32..).zip(&lines).map(request).collect();
    Some(Trace::new(requests, PrefixTree::new(), vec![String::new()], vec![String::new()]))
}

/// Tenths of a microsecond since 1970 of `2023-11-16 18:17:03.9799600`, which may have a zone.
fn ticks(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once([' ', 'T'])?;
    let mut date = date.splitn(3, '-');
    let year: i64 = digits(date.next()?, 4..=4)?;
    let (month, day): (i64, i64) = (digits(date.next()?, 2..=2)?, digits(date.next()?, 2..=2)?);
    let rest = rest.strip_suffix('Z').unwrap_or(rest);
    let (clock, offset) = match rest.rfind(['+', '-']) {
        Some(at) => (rest.get(..at)?, zone(rest.get(at..)?)?),
        None => (rest, 0),
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':');
    let mut part = || digits(clock.next()?, 2..=2);
    let (hour, minute, second) = (part()?, part()?, part()?);
    if !((1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61) {
        return None;
    }
    let tenths: i64 = digits(&format!("{:0<7}", fraction.get(..fraction.len().min(7))?), 7..=7)?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(seconds * 10_000_000 + tenths)
}

/// Seconds east of Greenwich of `+01:00`.
fn zone(text: &str) -> Option<i64> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    Some(sign * (digits(hours, 2..=2)? * 3600 + digits(minutes, 2..=2)? * 60))
}

fn digits(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let is_number = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in eras of 400 years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_a_tenth_of_a_microsecond() {
        assert_eq!(ticks("1970-01-01 00:00:00"), Some(0));
        // Python: datetime(2023, 11, 16, 18, 17, 3, tzinfo=utc).timestamp() == 1700158623.
        assert_eq!(ticks("2023-11-16 18:17:03.9799600"), Some(17_001_586_239_799_600));
        assert_eq!(ticks("2024-02-29T00:00:00.5+00:00"), Some(17_091_648_005_000_000));
        assert_eq!(ticks("2024-02-29 01:00:00+01:00"), ticks("2024-02-29 00:00:00"));
        for wrong in
            ["", "2023-11-16", "2023-13-16 18:17:03", "2023-11-16 18:17", "16.11.2023 18:17:03", "2023-11-16 24:00:00"]
        {
            assert_eq!(ticks(wrong), None, "{wrong}");
        }
    }
}
