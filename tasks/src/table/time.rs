//! Times as numbers, so that their order and distances can be told.

use crate::error::{Error, quoted};

/// A time, in the unit of its kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Time {
    /// As it stands in the file.
    Number(f64),
    /// Months since the year 0: months differ in days, not in months.
    Month(f64),
    /// Seconds since 1970-01-01 00:00 UTC; a time without a zone is taken for UTC.
    Instant(f64),
}

/// What is read, for messages.
const FORMS: &str = "a number or a date such as 2010-01-31, 2010/01/31 18:00 or 2010-01";

impl Time {
    /// `YYYY-MM`, `YYYY-MM-DD`, or the latter with a blank or `T` and `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fff`, and after
    /// it perhaps `Z` or `+HH:MM`; dates may have slashes for hyphens. All else is a number.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || Error::new(format!("expected a time, {FORMS}, got {}", quoted(text)));
        if let Ok(value) = text.parse::<f64>() {
            return if value.is_finite() { Ok(Self::Number(value)) } else { Err(wrong()) };
        }
        date(text).ok_or_else(wrong)
    }

    pub(super) fn value(self) -> f64 {
        match self {
            Self::Number(value) | Self::Month(value) | Self::Instant(value) => value,
        }
    }

    /// What kind of time it is; times of two kinds have no order.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Month(_) => "a month",
            Self::Instant(_) => "a date",
        }
    }

    /// A distance between two times of this kind, in words.
    pub(super) fn distance(self, distance: f64) -> String {
        let (value, unit) = match self {
            Self::Number(_) => return distance.to_string(),
            Self::Month(_) => (distance, "month"),
            Self::Instant(_) if distance % 86_400.0 == 0.0 => (distance / 86_400.0, "day"),
            Self::Instant(_) if distance % 3_600.0 == 0.0 => (distance / 3_600.0, "hour"),
            Self::Instant(_) => (distance, "second"),
        };
        format!("{value} {unit}{}", if value == 1.0 { "" } else { "s" })
    }
}

fn date(text: &str) -> Option<Time> {
    let separator = text.chars().find(|c| !c.is_ascii_digit()).filter(|c| matches!(c, '-' | '/'))?;
    let (day, clock) = text.split_once([' ', 'T', 't']).unwrap_or((text, ""));
    let parts: Vec<_> = day.split(separator).collect();
    let year = digits(parts[0]).filter(|_| parts[0].len() == 4)?;
    let month = digits(parts.get(1)?).filter(|month| (1..=12).contains(month))?;
    match parts[2..] {
        [] if clock.is_empty() && !text.contains([' ', 'T', 't']) => Some(Time::Month((year * 12 + month - 1) as f64)),
        [day] => {
            let day = digits(day).filter(|day| (1..=days_in(year, month)).contains(day))?;
            let seconds = if clock.is_empty() { 0.0 } else { seconds(clock.trim())? };
            Some(Time::Instant(days(year, month, day) as f64 * 86_400.0 + seconds))
        }
        _ => None,
    }
}

/// At most four digits and nothing else.
fn digits(text: &str) -> Option<i64> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// The seconds of a time of day since midnight UTC.
fn seconds(clock: &str) -> Option<f64> {
    let (clock, zone) = match clock.find(['Z', 'z', '+', '-']) {
        Some(at) => clock.split_at(at),
        None => (clock, ""),
    };
    let offset = match zone {
        "" | "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = zone[1..].split_once(':').or_else(|| zone[1..].split_at_checked(2))?;
            let minutes = if minutes.is_empty() { 0 } else { digits(minutes)? };
            (digits(hours)? * 60 + minutes) * if zone.starts_with('-') { -60 } else { 60 }
        }
    };
    let parts: Vec<_> = clock.trim().split(':').collect();
    let (hour, minute) = (digits(parts[0])?, digits(parts.get(1)?)?);
    let second = match parts[2..] {
        [] => 0.0,
        [second] if second.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => second.parse::<f64>().ok()?,
        _ => return None,
    };
    // A leap second is written as second 60.
    let possible = hour < 24 && minute < 60 && second < 61.0;
    possible.then(|| (hour * 3_600 + minute * 60 - offset) as f64 + second)
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Leap days before this year, counted from the year 0, which was one.
    let before = if year == 0 { 0 } else { 1 + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 };
    let months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    // 719,528 days lie between 0000-01-01 and 1970-01-01.
    year * 365 + before + months + day - 1 - 719_528
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        let cases = [
            ("1970-01-01", Time::Instant(0.0)),
            ("2000-03-01", Time::Instant(11_017.0 * 86_400.0)),
            ("2010/01/01 01:00:00", Time::Instant(1_262_307_600.0)),
            ("2010-01-01T01:00", Time::Instant(1_262_307_600.0)),
            ("2010-01-01T02:00:00.5+01:00", Time::Instant(1_262_307_600.5)),
            ("2010-01-01 01:00:00Z", Time::Instant(1_262_307_600.0)),
            ("1600-02-29", Time::Instant(-135_081.0 * 86_400.0)),
            ("2010-1-2", Time::Instant(1_262_390_400.0)),
            ("1749-01", Time::Month(20_988.0)),
            ("-3.5", Time::Number(-3.5)),
            ("1999", Time::Number(1999.0)),
        ];
        for (text, expected) in cases {
            assert_eq!(Time::parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "nan",
            "01/02/2010",
            "2010-13",
            "2010-02-29",
            "2010-02-30",
            "2010-01-01 25:00",
            "2010-01-01 1",
            "x",
            "2010-",
        ] {
            let error = Time::parse(text).unwrap_err().to_string();
            assert!(error.contains("a number or a date such as 2010-01-31"), "{error}");
        }
    }

    #[test]
    fn distances_have_units() {
        assert_eq!(Time::Instant(0.0).distance(86_400.0), "1 day");
        assert_eq!(Time::Instant(0.0).distance(7_200.0), "2 hours");
        assert_eq!(Time::Instant(0.0).distance(90.0), "90 seconds");
        assert_eq!(Time::Month(0.0).distance(2.0), "2 months");
        assert_eq!(Time::Number(0.0).distance(0.5), "0.5");
    }
}
