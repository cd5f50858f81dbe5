//! What is said about several values of the same thing.

use std::time::Duration;

use serde::Serialize;

/// Least, middle and greatest of the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    /// `None`: there are no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let sorted = sorted(values);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[middle],
            _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
        };
        Some(Self { min, median, max })
    }
}

/// `min / median / max` with that many decimals, as a cell of a table.
pub(crate) fn cell(values: impl IntoIterator<Item = f64>, decimals: usize) -> String {
    let Some(Spread { min, median, max }) = Spread::of(values) else { return NONE.to_owned() };
    [min, median, max].map(|value| number(value, decimals)).join(" / ")
}

/// With commas between thousands.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    let plain = format!("{value:.decimals$}");
    let digits_end = plain.find('.').unwrap_or(plain.len());
    let (whole, fraction) = plain.split_at(digits_end);
    let mut text = String::new();
    for (index, character) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if left.is_multiple_of(3) && text.ends_with(|c: char| c.is_ascii_digit()) {
            text.push(',');
        }
        text.push(character);
    }
    text + fraction
}

/// Where the values of one run lie, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Quantiles {
    /// `None`: there are no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let sorted = sorted(values);
        // The smallest value that at least this part of all values does not exceed.
        let at = |part: f64| {
            let rank = (part * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.max(1) - 1).copied()
        };
        Some(Self { p50: at(0.5)?, p99: at(0.99)?, max: *sorted.last()? })
    }
}

/// Events per second.
pub(crate) fn rate(events: u64, time: Duration) -> f64 {
    events as f64 / time.as_secs_f64().max(SHORTEST)
}

/// Seconds of CPU for a million events.
pub(crate) fn per_million(cpu: Duration, events: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / events.max(1) as f64
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

pub(crate) const MEBIBYTE: f64 = 1_048_576.0;
/// Of a cell without a value.
pub(crate) const NONE: &str = "–";
/// Brokers stamp records in milliseconds, so few of them may seem to come at once.
const SHORTEST: f64 = 0.001;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_value_or_the_mean_of_two() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[7.0]), Some(Spread { min: 7.0, median: 7.0, max: 7.0 }));
        assert_eq!(spread(&[9.0, 1.0, 4.0]), Some(Spread { min: 1.0, median: 4.0, max: 9.0 }));
        assert_eq!(spread(&[1.0, 2.0, 4.0, 9.0]).unwrap().median, 3.0);
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        assert_eq!(Quantiles::of([]), None);
        let hundred = Quantiles::of((1..=100).rev().map(f64::from)).unwrap();
        assert_eq!(hundred, Quantiles { p50: 50.0, p99: 99.0, max: 100.0 });
        let two = Quantiles::of([-2.0, 5.0]).unwrap();
        assert_eq!(two, Quantiles { p50: -2.0, p99: 5.0, max: 5.0 });
    }

    #[test]
    fn cells_are_readable() {
        assert_eq!(cell([], 1), "–");
        assert_eq!(cell([1234567.0, 999.0, 1000.0], 0), "999 / 1,000 / 1,234,567");
        assert_eq!(cell([-1234.5], 2), "-1,234.50 / -1,234.50 / -1,234.50");
        assert_eq!(number(-123.0, 0), "-123");
    }

    #[test]
    fn rates_are_per_second_and_costs_per_million() {
        assert_eq!(rate(500, Duration::from_millis(250)), 2000.0);
        assert_eq!(rate(5, Duration::ZERO), 5000.0);
        assert_eq!(per_million(Duration::from_secs(2), 500_000), 4.0);
    }
}
