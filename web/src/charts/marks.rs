//! Limits, verdict ranges and the two rates of a chart, with their labels, as SVG behind Plotly's drawing.
//!
//! The axes' ends and the room around the plot are ours, so the places are known without asking Plotly.

use super::figure::{Frame, MARGINS};
use crate::view_model::chart::ChartModel;
use plimsoll_core::report::Verdict;
use std::fmt::Write;

/// The drawing, in CSS pixels; colours come from the style sheet.
#[must_use]
pub fn marks(model: &ChartModel, frame: Frame) -> String {
    let [left, right, top, bottom] = MARGINS.map(f64::from);
    let (width, height) = ((frame.width - left - right).max(0.0), (frame.height - top - bottom).max(0.0));
    let at_rate = |rate: f64| left + (rate / frame.rate_end).clamp(0.0, 1.0) * width;
    let at_value = |value: f64| top + (1.0 - (value / frame.value_end).clamp(0.0, 1.0)) * height;
    let mut svg = format!(r#"<svg width="{:.0}" height="{:.0}">"#, frame.width, frame.height);
    for shade in &model.shades {
        let class = match shade.verdict {
            Verdict::Overloaded => "overloaded",
            Verdict::Backlogged => "backlogged",
            Verdict::Undecided => "undecided",
            Verdict::Stable => continue,
        };
        let start = at_rate(shade.range.0);
        let end = if shade.range.1 >= model.rate_end { left + width } else { at_rate(shade.range.1) };
        let _ = write!(
            svg,
            r#"<rect class="{class}" x="{start:.1}" y="{top}" width="{:.1}" height="{height:.1}"/>"#,
            (end - start).max(0.0)
        );
        // A word needs about a sixth of the chart.
        if end - start > width / 6.0 {
            let (x, y) = ((start + end) / 2.0, top + height * 0.88);
            let _ = write!(svg, r#"<text class="hint" x="{x:.1}" y="{y:.1}" text-anchor="middle">{class}</text>"#);
        }
    }
    for limit in &model.limits {
        let (y, end) = (at_value(limit.value), left + width);
        let _ = write!(svg, r#"<path class="limit" d="M{left} {y:.1}H{end:.1}"/>"#);
        let _ = write!(svg, r#"<text class="limit" x="{:.1}" y="{:.1}">{}</text>"#, left + 3.0, y - 4.0, limit.label);
    }
    if let Some(x) = model.recorded.map(at_rate) {
        let _ = write!(svg, r#"<path class="recorded" d="M{x:.1} {top}v{height:.1}"/>"#);
        let (x, y) = (x + 3.0, top + height - 5.0);
        let _ = write!(svg, r#"<text class="hint" x="{x:.1}" y="{y:.1}">×1, as recorded</text>"#);
    }
    let rates = [(model.saturation, "saturation", "start", 3.0), (model.capacity, "capacity", "end", -3.0)];
    for (rate, class, anchor, shift) in rates {
        let Some(x) = rate.map(at_rate) else { continue };
        let _ = write!(svg, r#"<path class="{class}" d="M{x:.1} {top}v{height:.1}"/>"#);
        let _ = write!(
            svg,
            r#"<text class="{class}" x="{:.1}" y="{:.1}" text-anchor="{anchor}">{class}</text>"#,
            x + shift,
            top - 5.0
        );
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view_model::chart::{self, Chart};
    use plimsoll_core::scenario::Slo;
    use plimsoll_protocol::view::Percentile;

    #[test]
    fn lines_limits_and_verdicts_stand_where_the_axes_say() {
        let model = chart::model(Chart::Ttft, &chart::tests::curve(), &Slo::default(), Percentile::Slo);
        let frame = Frame { width: 456.0, height: 240.0, rate_end: 25.0, value_end: 1000.0, ..Frame::default() };
        let svg = marks(&model, frame);
        for word in [">backlogged<", ">overloaded<", ">SLO p95 ≤ 500 ms<", ">saturation<", ">capacity<"] {
            assert!(svg.contains(word), "{word}: {svg}");
        }
        // 400 pixels for 25 requests/s behind a margin of 44, 200 for 1,000 ms below one of 18.
        let capacity = 44.0 + model.capacity.expect("a capacity") * 16.0;
        assert!(svg.contains(&format!(r#"class="capacity" d="M{capacity:.1} 18v200.0""#)), "{svg}");
        assert!(svg.contains(r#"class="limit" d="M44 118.0H444.0""#), "{svg}");
        assert!(!svg.contains("recorded"), "{svg}");
        let replayed = marks(&ChartModel { recorded: Some(10.0), ..model }, frame);
        assert!(replayed.contains(r#"class="recorded" d="M204.0 18v200.0""#), "{replayed}");
    }

    #[test]
    fn what_is_not_decided_is_shaded_too() {
        let mut curve = chart::tests::curve();
        curve.points.iter_mut().for_each(|point| point.verdict = Verdict::Undecided);
        let model = chart::model(Chart::Ttft, &curve, &Slo::default(), Percentile::Slo);
        let frame = Frame { width: 456.0, height: 240.0, rate_end: 25.0, value_end: 1000.0, ..Frame::default() };
        assert!(marks(&model, frame).contains(r#"<rect class="undecided""#));
    }

    #[test]
    fn what_is_absent_is_not_drawn() {
        let mut model = chart::model(Chart::Throughput, &chart::tests::curve(), &Slo::default(), Percentile::Slo);
        (model.capacity, model.saturation, model.recorded) = (None, None, None);
        model.shades.clear();
        let svg =
            marks(&model, Frame { width: 456.0, height: 240.0, rate_end: 40.0, value_end: 40.0, ..Frame::default() });
        assert_eq!(svg, r#"<svg width="456" height="240"></svg>"#);
    }
}
