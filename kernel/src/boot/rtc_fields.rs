//! The date in a PC's real-time clock (MC146818A data sheet).

/// The clock's registers as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtcFields {
    pub seconds: u8,
    pub minutes: u8,
    pub hours: u8,
    pub day: u8,
    pub month: u8,
    pub year: u8,
    pub century: Option<u8>,
    pub status_b: u8,
}

impl RtcFields {
    const IS_24_HOURS: u8 = 1 << 1;
    const IS_BINARY: u8 = 1 << 2;
    /// In 12-hour mode, the hours' top bit means the afternoon.
    const IS_PM: u8 = 0x80;

    /// Seconds since 1970-01-01 00:00:00 UTC; `None` if the fields are no date.
    pub fn to_unix_seconds(self) -> Option<i64> {
        let seconds = self.number(self.seconds)?;
        let minutes = self.number(self.minutes)?;
        let is_pm = self.hours & Self::IS_PM != 0;
        let mut hours = self.number(self.hours & !Self::IS_PM)?;
        if self.status_b & Self::IS_24_HOURS == 0 {
            if !(1..=12).contains(&hours) {
                return None;
            }
            hours = hours % 12 + if is_pm { 12 } else { 0 };
        }
        let day = self.number(self.day)?;
        let month = self.number(self.month)?;
        let short_year = self.number(self.year)?;
        let year = match self.century.and_then(|century| self.number(century)) {
            Some(century @ 19..=99) => century * 100 + short_year,
            // No century: the clock counts from 1970 to 2069.
            _ if short_year >= 70 => 1900 + short_year,
            _ => 2000 + short_year,
        };
        if seconds > 59 || minutes > 59 || hours > 23 || !(1..=12).contains(&month) {
            return None;
        }
        if !(1..=days_in_month(year, month)).contains(&day) {
            return None;
        }
        Some(((days_since_1970(year, month, day) * 24 + hours) * 60 + minutes) * 60 + seconds)
    }

    fn number(self, value: u8) -> Option<i64> {
        if self.status_b & Self::IS_BINARY != 0 {
            return Some(value.into());
        }
        // Two decimal digits.
        let (tens, ones) = (value >> 4, value & 15);
        (tens <= 9 && ones <= 9).then(|| i64::from(tens * 10 + ones))
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let leap_days = |year: i64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    let months: i64 = (1..month).map(|month| days_in_month(year, month)).sum();
    years + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::RtcFields;

    const BINARY_24: u8 = 6;

    fn fields(date: [u8; 6], century: Option<u8>, status_b: u8) -> RtcFields {
        let [year, month, day, hours, minutes, seconds] = date;
        RtcFields {
            seconds,
            minutes,
            hours,
            day,
            month,
            year,
            century,
            status_b,
        }
    }

    #[test]
    fn reads_decimal_digits() {
        let clock = fields([0x25, 0x11, 0x21, 0x09, 0x24, 0x30], Some(0x20), 2);
        assert_eq!(clock.to_unix_seconds(), Some(1_763_717_070));
    }

    #[test]
    fn reads_binary_numbers_without_a_century() {
        assert_eq!(
            fields([70, 1, 1, 0, 0, 0], None, BINARY_24).to_unix_seconds(),
            Some(0)
        );
        let leap_day = fields([24, 2, 29, 23, 59, 59], None, BINARY_24);
        assert_eq!(leap_day.to_unix_seconds(), Some(1_709_251_199));
    }

    #[test]
    fn reads_twelve_hours() {
        let noon = fields([0x70, 1, 1, 0x92, 0, 0], Some(0x19), 0);
        assert_eq!(noon.to_unix_seconds(), Some(12 * 3600));
        let midnight = fields([0x70, 1, 1, 0x12, 0, 0], Some(0x19), 0);
        assert_eq!(midnight.to_unix_seconds(), Some(0));
    }

    #[test]
    fn refuses_what_is_no_date() {
        for date in [
            [25, 13, 1, 0, 0, 0],
            [25, 2, 29, 0, 0, 0],
            [25, 1, 1, 24, 0, 0],
        ] {
            assert_eq!(
                fields(date, None, BINARY_24).to_unix_seconds(),
                None,
                "{date:?}"
            );
        }
        assert_eq!(
            fields([0x2a, 1, 1, 0, 0, 0], None, 2).to_unix_seconds(),
            None
        );
    }
}
