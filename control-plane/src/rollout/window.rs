//! Freeze windows: times at which no wave begins. In: what a fleet's settings say, and an instant. Out: whether one of them
//! covers it, and until when. The rules of time zones are built in, so every replica says the same.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::timestamp::Timestamp;

/// Windows that follow each other without a gap end together; so many of them are followed.
const CHAIN_MAX: usize = 100;
/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// A time at which no wave begins. Without `days` once, from `from` until `until` (RFC 3339); with `days` every week, from
/// and until a time of day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// A word for people, another one for each window.
    #[schema(example = "weekend")]
    pub name: String,
    /// The days of the week on which it begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// When it begins: `2026-12-23T16:00:00Z`, or `16:00` of each of the days.
    #[schema(example = "16:00")]
    pub from: String,
    /// When it is over: `2027-01-04T08:00:00Z`, or `08:00`; on the next day if that is not later than `from`. `24:00` is the
    /// day's end.
    #[schema(example = "24:00")]
    pub until: String,
    /// The time zone of days and times of day, by its IANA name; UTC if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    pub time_zone: Option<String>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// A window that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Window {
    /// From the first instant until before the second.
    Once(Timestamp, Timestamp),
    /// Every week.
    Weekly(Weekly),
}

/// A window of each week.
#[derive(Clone, Debug, PartialEq)]
pub struct Weekly {
    days: Vec<Weekday>,
    /// Minutes from the begin of the day.
    from: u16,
    /// The same, on the next day if it is not later than `from`.
    until: u16,
    zone: TimeZone,
}

/// What is wrong with a field of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field.
    pub field: &'static str,
    /// A sentence for people.
    pub detail: String,
}

/// A window that covers an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// Its name.
    pub name: String,
    /// The first instant after it that no window covers; `None` if that is not to be seen.
    pub until: Option<Timestamp>,
}

/// The first of the windows that covers an instant. One that cannot be read covers every instant: nothing moves until
/// somebody has looked at it.
pub fn frozen(windows: &[Freeze], now: Timestamp) -> Option<Frozen> {
    let (name, first) = covering(windows, now)?;
    let mut until = first;
    for _ in 0..CHAIN_MAX {
        let Some(end) = until else { break };
        match covering(windows, end) {
            None => {
                return Some(Frozen {
                    name: name.to_owned(),
                    until: Some(end),
                });
            }
            Some((_, next)) => until = next,
        }
    }
    Some(Frozen {
        name: name.to_owned(),
        until: None,
    })
}

/// The name of a window that covers an instant, and its end.
fn covering(windows: &[Freeze], now: Timestamp) -> Option<(&str, Option<Timestamp>)> {
    windows.iter().find_map(|freeze| match freeze.read() {
        Err(_) => Some((freeze.name.as_str(), None)),
        Ok(window) => window.end(now).map(|end| (freeze.name.as_str(), Some(end))),
    })
}

impl Freeze {
    /// Reads what was written.
    ///
    /// # Errors
    /// A field says nothing that could be meant.
    pub fn read(&self) -> Result<Window, Fault> {
        if self.days.is_empty() {
            if self.time_zone.is_some() {
                let detail = "a window without `days` says its offset in `from` and `until`";
                return Err(fault("time_zone", detail));
            }
            let (from, until) = (instant("from", &self.from)?, instant("until", &self.until)?);
            if until <= from {
                return Err(fault("until", "a window ends after it begins"));
            }
            return Ok(Window::Once(from, until));
        }
        let (from, until) = (minutes("from", &self.from)?, minutes("until", &self.until)?);
        if from == DAY {
            return Err(fault(
                "from",
                "the last minute at which a window begins is 23:59",
            ));
        }
        if from == until {
            return Err(fault("until", "a whole day is from 00:00 until 24:00"));
        }
        let zone = match &self.time_zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| {
                fault(
                    "time_zone",
                    "a time zone is named as in the IANA database, such as Europe/Berlin or UTC",
                )
            })?,
        };
        let days = self.days.iter().map(|day| day.weekday()).collect();
        Ok(Window::Weekly(Weekly {
            days,
            from,
            until,
            zone,
        }))
    }
}

impl Window {
    /// When it is over, if it covers an instant.
    pub fn end(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once(from, until) => (*from <= now && now < *until).then_some(*until),
            Self::Weekly(weekly) => weekly.end(now),
        }
    }
}

impl Weekly {
    /// The window that covers an instant has begun on its day or on the day before. Where clocks are set forward or back over
    /// one of its ends, the window is the longer of the two that could be meant.
    fn end(&self, now: Timestamp) -> Option<Timestamp> {
        let today = jiff::Timestamp::from_microsecond(now.as_micros());
        let today = self.zone.to_datetime(today.ok()?).date();
        let begun = [Some(today), today.yesterday().ok()];
        let ends = begun.into_iter().flatten().filter_map(|day| {
            let (from, until) = self.on(day)?;
            (from <= now && now < until).then_some(until)
        });
        ends.max()
    }

    /// The window that begins on a day.
    fn on(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        if !self.days.contains(&day.weekday()) {
            return None;
        }
        let last = if self.until > self.from {
            day
        } else {
            day.tomorrow().ok()?
        };
        let from = self.zone.to_ambiguous_timestamp(at(day, self.from)?);
        let until = self.zone.to_ambiguous_timestamp(at(last, self.until)?);
        let (from, until) = (from.earlier().ok()?, until.later().ok()?);
        Some((
            Timestamp::from_micros(from.as_microsecond()),
            Timestamp::from_micros(until.as_microsecond()),
        ))
    }
}

impl Day {
    const fn weekday(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        }
    }
}

/// A minute of a day, the one after its last too.
fn at(day: Date, minute: u16) -> Option<DateTime> {
    if minute == DAY {
        return Some(day.tomorrow().ok()?.to_datetime(Time::midnight()));
    }
    let time = Time::new((minute / 60) as i8, (minute % 60) as i8, 0, 0);
    Some(day.to_datetime(time.ok()?))
}

fn instant(field: &'static str, text: &str) -> Result<Timestamp, Fault> {
    let read: Result<Timestamp, _> = text.parse();
    read.map_err(|error| fault(field, &format!("{error}; a time of day needs `days`")))
}

/// `HH:MM`, up to 24:00.
fn minutes(field: &'static str, text: &str) -> Result<u16, Fault> {
    let read = || {
        let (hour, minute) = text.split_once(':')?;
        let number = |part: &str| {
            let plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| part.parse::<u16>().ok()).flatten()
        };
        let (hour, minute) = (number(hour)?, number(minute)?);
        let minutes = hour * 60 + minute;
        (minute < 60 && minutes <= DAY).then_some(minutes)
    };
    read().ok_or_else(|| fault(field, "a time of day is 00:00 to 24:00"))
}

fn fault(field: &'static str, detail: &str) -> Fault {
    Fault {
        field,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests;
