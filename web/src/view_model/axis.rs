//! Axis ranges that stay put while a slider moves.

use plimsoll_json::decimal;

/// Ends of an axis that read well.
const NICE: [f64; 10] = [1.0, 1.2, 1.6, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0];

/// The smallest end that reads well and is not below `value`; 1 for what is not positive.
#[must_use]
pub fn nice_end(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let exponent = format!("{value:e}").split_once('e').and_then(|(_, text)| text.parse::<i32>().ok()).unwrap_or(0);
    let power: f64 = decimal::read(&format!("1e{exponent}")).unwrap_or(1.0);
    NICE.iter()
        .map(|step| step * power)
        // A hair of room, so that 8.000000001 does not become 10.
        .find(|end| *end >= value * 0.999_999)
        .unwrap_or(10.0 * power)
}

/// Remembers an axis' end, so that it changes seldom.
///
/// It grows as soon as it must, and shrinks only at rest and only when less than half of it would be used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AxisMemory {
    end: Option<f64>,
}

impl AxisMemory {
    /// The end to show for values up to `needed`.
    pub fn fit(&mut self, needed: f64, is_at_rest: bool) -> f64 {
        let wanted = nice_end(needed);
        let end = match self.end {
            Some(end) if wanted <= end && !(is_at_rest && wanted < end * 0.5) => end,
            _ => wanted,
        };
        self.end = Some(end);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_read_well_and_hold_the_value() {
        for (value, end) in [(0.93, 1.0), (1.01, 1.2), (26.5, 30.0), (85.0, 100.0), (800.0, 800.0), (0.0031, 0.004)] {
            assert!((nice_end(value) - end).abs() < 1e-12 * end, "{value}: {}", nice_end(value));
        }
        assert_eq!(nice_end(f64::NAN), 1.0);
    }

    #[test]
    fn a_drag_never_shrinks_an_axis_and_rest_does() {
        let mut axis = AxisMemory::default();
        assert_eq!(axis.fit(55.0, false), 60.0);
        assert_eq!(axis.fit(12.0, false), 60.0);
        assert_eq!(axis.fit(70.0, false), 80.0);
        assert_eq!(axis.fit(50.0, true), 80.0, "more than half is used");
        assert_eq!(axis.fit(12.0, true), 12.0);
    }
}
