use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000_000;
const WEEK: i64 = 7 * 24 * 60 * MINUTE;
const DAYS: [Day; 7] = [
    Day::Thu,
    Day::Fri,
    Day::Sat,
    Day::Sun,
    Day::Mon,
    Day::Tue,
    Day::Wed,
];

fn weekly(days: &[Day], from: &str, until: &str, zone: Option<&str>) -> Freeze {
    Freeze {
        name: "w".to_owned(),
        days: days.to_vec(),
        from: from.to_owned(),
        until: until.to_owned(),
        time_zone: zone.map(str::to_owned),
    }
}

fn once(name: &str, from: i64, until: i64) -> Freeze {
    Freeze {
        name: name.to_owned(),
        from: Timestamp::from_micros(from).to_string(),
        until: Timestamp::from_micros(until).to_string(),
        ..Freeze::default()
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

proptest! {
    /// The week is a ring of minutes; 1970 began on a Thursday.
    #[test]
    fn an_instant_is_in_a_weekly_window_if_one_of_its_days_has_brought_it_there(
        chosen in prop::collection::vec(any::<bool>(), 7),
        from in 0..1_440_u16,
        until in 1..=1_440_u16,
        at in 0..200 * WEEK,
    ) {
        prop_assume!(from != until && chosen.contains(&true));
        let days = DAYS.into_iter().zip(&chosen).filter(|(_, chosen)| **chosen);
        let days: Vec<Day> = days.map(|(day, _)| day).collect();
        let lasts = i64::from((1_440 + until - from - 1) % 1_440 + 1);
        let minute = at.rem_euclid(WEEK) as f64 / MINUTE as f64;
        let week = (WEEK / MINUTE) as f64;
        let covered = (0..7).filter(|day| chosen[*day]).any(|day| {
            let since = (minute - (day as f64 * 1_440.0 + f64::from(from))).rem_euclid(week);
            since < lasts as f64
        });
        let freeze = weekly(&days, &clock(from), &clock(until), None);
        prop_assert_eq!(frozen(&[freeze], Timestamp::from_micros(at)).is_some(), covered);
    }

    /// What is told as the end is the first instant at which a wave may begin.
    #[test]
    fn the_end_is_where_no_window_goes_on(
        spans in prop::collection::vec((0..1_000_i64, 1..300_i64), 1..8),
        at in 0..1_300_i64,
    ) {
        let windows: Vec<Freeze> =
            spans.iter().map(|(from, lasts)| once("a", *from, from + lasts)).collect();
        let is_in = |at: i64| spans.iter().any(|(from, lasts)| *from <= at && at < from + lasts);
        let found = frozen(&windows, Timestamp::from_micros(at));
        prop_assert_eq!(found.is_some(), is_in(at));
        if let Some(found) = found {
            let end = found.until.unwrap().as_micros();
            prop_assert!(end > at && !is_in(end));
            prop_assert!((at..end).all(is_in), "there is a gap before {}", end);
        }
    }

    /// The wall clock decides, summer and winter, but for the nights in which it is set.
    #[test]
    fn a_zone_s_wall_clock_decides_whatever_its_offset(
        hours in 0..3 * 365 * 24_i64,
        ends in (0..1_440_u16, 0..1_440_u16),
    ) {
        let (from, until) = (ends.0.min(ends.1), ends.0.max(ends.1) + 1);
        let now = Timestamp::from_micros(1_767_225_600_000_000 + hours * 60 * MINUTE + 1);
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let wall = |us: i64| zone.to_datetime(jiff::Timestamp::from_microsecond(us).unwrap());
        let offset = |us: i64| zone.to_offset(jiff::Timestamp::from_microsecond(us).unwrap());
        let (before, after) = (now.as_micros() - 1_500 * MINUTE, now.as_micros() + 1_500 * MINUTE);
        if offset(before) != offset(after) {
            return Ok(());
        }
        let wall = wall(now.as_micros());
        let minute = wall.hour() as u16 * 60 + wall.minute() as u16;
        let covered = [Weekday::Friday, Weekday::Sunday].contains(&wall.date().weekday())
            && (from..until).contains(&minute);
        let freeze = weekly(&[Day::Fri, Day::Sun], &clock(from), &clock(until), Some("Europe/Berlin"));
        prop_assert_eq!(frozen(&[freeze], now).is_some(), covered, "{}", wall);
    }
}

#[test]
fn where_clocks_are_set_the_longer_window_is_meant() {
    let night = weekly(&[Day::Sun], "02:30", "04:00", Some("Europe/Berlin"));
    // On 2026-10-25 there are two half past two: the first counts. On 2026-03-29 there is none.
    for (at, until) in [
        ("2026-10-25T00:29:59Z", None),
        ("2026-10-25T00:30:00Z", Some("2026-10-25T03:00:00Z")),
        ("2026-10-25T03:00:00Z", None),
        ("2026-03-29T00:29:59Z", None),
        ("2026-03-29T00:30:00Z", Some("2026-03-29T02:00:00Z")),
        ("2026-03-29T02:00:00Z", None),
    ] {
        let found = frozen(std::slice::from_ref(&night), time(at));
        let found = found.map(|found| found.until);
        assert_eq!(found, until.map(|until| Some(time(until))), "{at}");
    }
    let until = weekly(&[Day::Sun], "01:00", "02:30", Some("Europe/Berlin"));
    let found = frozen(&[until], time("2026-10-25T00:00:00Z")).unwrap();
    assert_eq!(found.until, Some(time("2026-10-25T01:30:00Z")));
}

#[test]
fn a_week_without_a_gap_has_no_end() {
    let days = [
        Day::Mon,
        Day::Tue,
        Day::Wed,
        Day::Thu,
        Day::Fri,
        Day::Sat,
        Day::Sun,
    ];
    let always = weekly(&days, "00:00", "24:00", None);
    let found = frozen(&[always], time("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(found.until, None);
}

#[test]
fn a_window_that_cannot_be_read_is_never_over() {
    let broken = weekly(&[Day::Mon], "eight", "09:00", None);
    let found = frozen(&[broken], time("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!((found.name.as_str(), found.until), ("w", None));
}

#[test]
fn faults_name_the_field() {
    let dated = |from: &str, until: &str| Freeze {
        from: from.to_owned(),
        until: until.to_owned(),
        ..Freeze::default()
    };
    let zoned = Freeze {
        time_zone: Some("UTC".to_owned()),
        ..once("a", 0, 1)
    };
    for (freeze, field) in [
        (dated("16:00", "2026-01-01T00:00:00Z"), "from"),
        (dated("2026-01-01T00:00:00Z", "later"), "until"),
        (
            dated("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            "until",
        ),
        (zoned, "time_zone"),
        (weekly(&[Day::Mon], "8:00", "09:00", None), "from"),
        (weekly(&[Day::Mon], "24:00", "09:00", None), "from"),
        (weekly(&[Day::Mon], "08:00", "24:01", None), "until"),
        (weekly(&[Day::Mon], "08:60", "09:00", None), "from"),
        (weekly(&[Day::Mon], "08:00", "08:00", None), "until"),
        (
            weekly(&[Day::Mon], "08:00", "09:00", Some("Mars/Olympus")),
            "time_zone",
        ),
    ] {
        let found = freeze.read().map_err(|fault| fault.field);
        assert_eq!(found.err(), Some(field), "{freeze:?}");
    }
}
