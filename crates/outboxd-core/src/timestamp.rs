//! `created_at` as Postgres prints it (`DateStyle` ISO), turned into a Kafka timestamp.

/// Milliseconds since the Unix epoch of a `timestamptz` or `timestamp`, rounded down.
///
/// A `timestamp` has no zone and is read as UTC, the zone of the session. Kafka has no timestamp
/// for `infinity` and none before 1970: both are refused rather than replaced by another time.
pub fn unix_millis(text: &[u8]) -> Result<i64, TimestampError> {
    if matches!(text, b"infinity" | b"-infinity") {
        return Err(TimestampError::Infinite);
    }
    match parse(text) {
        Some(millis) if millis < 0 => Err(TimestampError::BeforeEpoch),
        Some(millis) => Ok(millis),
        None => Err(TimestampError::Malformed),
    }
}

/// A value that cannot be a Kafka timestamp.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TimestampError {
    #[error("is infinite, which is no Kafka timestamp")]
    Infinite,
    #[error("is before 1970, which no Kafka timestamp can be")]
    BeforeEpoch,
    #[error("is not a timestamp in ISO form")]
    Malformed,
}

/// Milliseconds since the Unix epoch of `2026-11-21 11:12:17.123456+05:30 BC`, where fraction, zone
/// and era may be absent, and a `T` may stand for the blank: so JSON functions print it, whatever
/// the `DateStyle`, and a logical message may hold it. Not microseconds, which overflow before Postgres' last year.
fn parse(text: &[u8]) -> Option<i64> {
    let mut rest = Scanner(text);
    let year = rest.number(4, 6)?;
    rest.expect(b'-')?;
    let month = rest.number(2, 2)?;
    rest.expect(b'-')?;
    let day = rest.number(2, 2)?;
    rest.expect(b' ').or_else(|| rest.expect(b'T'))?;
    let time = rest.time()?;
    let micros = rest.fraction()?;
    let offset = rest.offset()?;
    let year = match rest.0 {
        b"" => year,
        b" BC" => 1 - year,
        _ => return None,
    };
    let days = days_since_epoch(year, month, day)?;
    Some((days * 86_400 + time - offset) * 1000 + micros / 1000)
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar; `None` for a day that does not exist.
///
/// Counts in eras of 400 years, which all have the same length, and lets a year begin in March, so
/// that the leap day is its last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * DAYS_PER_ERA + day_of_era - DAYS_FROM_YEAR_0_TO_1970)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const DAYS_PER_ERA: i64 = 146_097;
/// From 0000-03-01, where the count of eras begins.
const DAYS_FROM_YEAR_0_TO_1970: i64 = 719_468;

/// What is left to read.
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    /// A number of at least `min` and at most `max` digits.
    fn number(&mut self, min: usize, max: usize) -> Option<i64> {
        let digits = self.0.iter().take(max).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        let value = || number.iter().fold(0, |value, byte| value * 10 + i64::from(byte - b'0'));
        (digits >= min).then(value)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    fn at(&self, byte: u8) -> bool {
        self.0.first() == Some(&byte)
    }

    /// `11:12:17` in seconds.
    fn time(&mut self) -> Option<i64> {
        let hours = self.number(2, 2).filter(|&hours| hours < 24)?;
        self.expect(b':')?;
        let minutes = self.sixtieth()?;
        self.expect(b':')?;
        Some(hours * 3600 + minutes * 60 + self.sixtieth()?)
    }

    /// `.123` in microseconds; 0 when there is none.
    fn fraction(&mut self) -> Option<i64> {
        if self.expect(b'.').is_none() {
            return Some(0);
        }
        let before = self.0.len();
        let value = self.number(1, 6)?;
        let digits = u32::try_from(before - self.0.len()).ok()?;
        Some(value * 10_i64.pow(6 - digits))
    }

    /// `+05:30` in seconds; 0 when there is none. Historical zones have seconds too.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.0.first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Some(0),
        };
        self.0 = &self.0[1..];
        let mut seconds = self.number(2, 2)? * 3600;
        for unit in [60, 1] {
            if !self.at(b':') {
                break;
            }
            self.expect(b':')?;
            seconds += self.sixtieth()? * unit;
        }
        Some(sign * seconds)
    }

    fn sixtieth(&mut self) -> Option<i64> {
        self.number(2, 2).filter(|&value| value < 60)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_postgres_prints() {
        for (text, millis) in [
            ("2026-11-21 11:12:17.123456+00", 1_795_259_537_123),
            ("2026-11-21 11:12:17.123456", 1_795_259_537_123),
            ("2026-11-21 11:12:17+00", 1_795_259_537_000),
            ("2026-11-21 16:42:17.1+05:30", 1_795_259_537_100),
            ("2026-11-21 03:12:17.12-08", 1_795_259_537_120),
            ("2026-11-21T11:12:17.123456+00:00", 1_795_259_537_123),
            ("1970-01-01 00:00:00+00", 0),
            ("1970-01-01 00:00:00.000999+00", 0),
            ("2000-02-29 00:00:00+00", 951_782_400_000),
            ("1970-01-01 00:00:00-00:00:44", 44_000),
            ("294276-12-31 23:59:59.999999+00", 9_224_318_015_999_999),
        ] {
            assert_eq!(unix_millis(text.as_bytes()), Ok(millis), "{text}");
        }
    }

    #[test]
    fn refuses_what_kafka_has_no_timestamp_for() {
        for text in ["1969-12-31 23:59:59.999999+00", "0044-03-15 12:00:00+00 BC"] {
            assert_eq!(unix_millis(text.as_bytes()), Err(TimestampError::BeforeEpoch), "{text}");
        }
        for text in ["infinity", "-infinity"] {
            assert_eq!(unix_millis(text.as_bytes()), Err(TimestampError::Infinite), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_timestamp() {
        for text in [
            "",
            "now",
            "2026-11-21",
            "2026-11-21 11:12",
            "2026-11-21t11:12:17",
            "2026-11-21 T11:12:17",
            "2026-13-01 00:00:00",
            "2026-00-01 00:00:00",
            "2026-02-29 00:00:00",
            "1900-02-29 00:00:00",
            "2026-11-31 00:00:00",
            "2026-11-00 00:00:00",
            "2026-11-21 24:00:00",
            "2026-11-21 11:60:00",
            "2026-11-21 11:12:60",
            "2026-11-21 11:12:17.",
            "2026-11-21 11:12:17.1234567",
            "2026-11-21 11:12:17+",
            "2026-11-21 11:12:17+0",
            "2026-11-21 11:12:17+00:",
            "2026-11-21 11:12:17+00 AD",
            "2026-11-21T11:12:17Z",
            "26-11-21 11:12:17",
            "1000000-01-01 00:00:00",
            "21/11/2026 11:12:17 UTC",
        ] {
            assert_eq!(unix_millis(text.as_bytes()), Err(TimestampError::Malformed), "{text}");
        }
    }

    /// Counts day by day and year by year, which shares nothing with the closed formula.
    fn days_by_counting(year: i64, month: i64, day: i64) -> i64 {
        let length = |year| if is_leap(year) { 366 } else { 365 };
        let years: i64 = if year >= 1970 {
            (1970..year).map(length).sum()
        } else {
            -(year..1970).map(length).sum::<i64>()
        };
        years + (1..month).map(|month| days_in_month(year, month)).sum::<i64>() + day - 1
    }

    fn year_text(year: i64) -> (String, &'static str) {
        if year > 0 { (format!("{year:04}"), "") } else { (format!("{:04}", 1 - year), " BC") }
    }

    proptest! {
        #[test]
        fn agrees_with_counting(
            year in prop_oneof![-4712_i64..=0, 1960_i64..2100, 1_i64..=294_276],
            month in 1_i64..=12,
            day in 1_i64..=31,
            second_of_day in 0_i64..86_400,
            micros in 0_i64..1_000_000,
            offset_minutes in -14_i64 * 60..=14 * 60,
        ) {
            let day = day.min(days_in_month(year, month));
            let (hours, minutes) = (second_of_day / 3600, second_of_day / 60 % 60);
            let seconds = second_of_day % 60;
            let (year_digits, era) = year_text(year);
            let sign = if offset_minutes < 0 { '-' } else { '+' };
            let (zone_hours, zone_minutes) =
                (offset_minutes.abs() / 60, offset_minutes.abs() % 60);
            let text = format!(
                "{year_digits}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{micros:06}\
                 {sign}{zone_hours:02}:{zone_minutes:02}{era}"
            );
            let seconds = days_by_counting(year, month, day) * 86_400 + second_of_day;
            let expected = (seconds - offset_minutes * 60) * 1000 + micros / 1000;
            prop_assert_eq!(parse(text.as_bytes()), Some(expected), "{}", text);
        }

        #[test]
        fn never_panics(text: Vec<u8>, near in "[0-9]{3,7}[-0-9:. +BC]{0,30}") {
            let _ = unix_millis(&text);
            let _ = unix_millis(near.as_bytes());
        }
    }
}
