//! Calendar rules of the routine schedule, and the vaccines in it. Pure.
//!
//! Facts: 予防接種法施行令 windows as municipalities publish them. An age is reached on the day before the birthday,
//! or on the last day of a month that lacks the day; "N days apart" leaves out both days of vaccination.

use jiff::ToSpan as _;
use jiff::civil::{Date, date};

/// A vaccine of the routine schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vaccine {
    /// ロタ, one strain: two doses.
    Rota1,
    /// ロタ, five strains: three doses.
    Rota5,
    /// ヒブ.
    Hib,
    /// 小児用肺炎球菌.
    Pneumococcal,
    /// B型肝炎.
    HepB,
    /// 五種混合.
    Penta,
    /// 四種混合.
    Quad,
    /// BCG.
    Bcg,
    /// 麻しん風しん (MR).
    MeaslesRubella,
    /// 水痘.
    Varicella,
    /// 日本脳炎.
    JapaneseEncephalitis,
    /// 二種混合 (DT).
    DiphtheriaTetanus,
}

impl Vaccine {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Rota1,
        Self::Rota5,
        Self::Hib,
        Self::Pneumococcal,
        Self::HepB,
        Self::Penta,
        Self::Quad,
        Self::Bcg,
        Self::MeaslesRubella,
        Self::Varicella,
        Self::JapaneseEncephalitis,
        Self::DiphtheriaTetanus,
    ];

    /// Its name in Japanese.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rota1 => "ロタウイルス（1価）",
            Self::Rota5 => "ロタウイルス（5価）",
            Self::Hib => "ヒブ",
            Self::Pneumococcal => "小児用肺炎球菌",
            Self::HepB => "B型肝炎",
            Self::Penta => "五種混合",
            Self::Quad => "四種混合",
            Self::Bcg => "BCG",
            Self::MeaslesRubella => "麻しん風しん（MR）",
            Self::Varicella => "水痘",
            Self::JapaneseEncephalitis => "日本脳炎",
            Self::DiphtheriaTetanus => "二種混合（DT）",
        }
    }

    /// Its code in the synthetic system: ours, not one of any real code system.
    #[must_use]
    pub fn synthetic_code(self) -> &'static str {
        match self {
            Self::Rota1 => "rota-1",
            Self::Rota5 => "rota-5",
            Self::Hib => "hib",
            Self::Pneumococcal => "pcv",
            Self::HepB => "hep-b",
            Self::Penta => "dpt-ipv-hib",
            Self::Quad => "dpt-ipv",
            Self::Bcg => "bcg",
            Self::MeaslesRubella => "mr",
            Self::Varicella => "varicella",
            Self::JapaneseEncephalitis => "je",
            Self::DiphtheriaTetanus => "dt",
        }
    }

    /// What it protects against.
    #[must_use]
    pub fn diseases(self) -> &'static [&'static str] {
        match self {
            Self::Rota1 | Self::Rota5 => &["ロタウイルス感染症"],
            Self::Hib => &["Hib感染症"],
            Self::Pneumococcal => &["小児の肺炎球菌感染症"],
            Self::HepB => &["B型肝炎"],
            Self::Penta => &["ジフテリア", "百日せき", "急性灰白髄炎", "破傷風", "Hib感染症"],
            Self::Quad => &["ジフテリア", "百日せき", "急性灰白髄炎", "破傷風"],
            Self::Bcg => &["結核"],
            Self::MeaslesRubella => &["麻しん", "風しん"],
            Self::Varicella => &["水痘"],
            Self::JapaneseEncephalitis => &["日本脳炎"],
            Self::DiphtheriaTetanus => &["ジフテリア", "破傷風"],
        }
    }

    /// Whether it is a live vaccine that is injected.
    #[must_use]
    pub fn injected_live(self) -> bool {
        matches!(self, Self::Bcg | Self::MeaslesRubella | Self::Varicella)
    }
}

/// So many days later. Stays where it is at the end of the calendar.
#[must_use]
pub fn plus_days(day: Date, days: i32) -> Date {
    day.checked_add(days.days()).unwrap_or(day)
}

/// So many months later; the last day of the month where it lacks the day.
#[must_use]
pub fn months_after(day: Date, months: i32) -> Date {
    day.checked_add(months.months()).unwrap_or(day)
}

/// The first day with at least `days` days between it and the earlier one.
#[must_use]
pub fn after(earlier: Date, days: i32) -> Date {
    plus_days(earlier, days.saturating_add(1))
}

/// The day on which an age in months is reached.
#[must_use]
pub fn reached(birth: Date, months: i32) -> Date {
    let birthday = months_after(birth, months);
    if birthday.day() == birth.day() { plus_days(birthday, -1) } else { birthday }
}

/// From one day to another, in days.
#[must_use]
pub fn days_between(earlier: Date, later: Date) -> i32 {
    earlier.until(later).map_or(0, |span| span.get_days())
}

/// The school year (1 April to 31 March) before the child enters school.
#[must_use]
pub fn school_year_before_entry(birth: Date) -> (Date, Date) {
    // Six years are reached by 31 March of the year of entry.
    let six = reached(birth, 72);
    let entry = if six.month() <= 3 { six.year() } else { six.year().saturating_add(1) };
    (date(entry.saturating_sub(1), 4, 1), date(entry, 3, 31))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_reached_the_day_before() {
        for (birth, months, expected) in [
            (date(2023, 5, 10), 12, date(2024, 5, 9)),
            (date(2023, 3, 1), 12, date(2024, 2, 29)),
            (date(2024, 2, 29), 12, date(2025, 2, 28)),
            (date(2024, 8, 31), 6, date(2025, 2, 28)),
            (date(2024, 4, 1), 72, date(2030, 3, 31)),
        ] {
            assert_eq!(reached(birth, months), expected, "{birth} {months}");
        }
    }

    #[test]
    fn days_apart_leave_out_both_days() {
        // Four weeks later on the same weekday.
        assert_eq!(after(date(2024, 6, 3), 27), date(2024, 7, 1));
        assert_eq!(days_between(date(2024, 6, 3), date(2024, 7, 1)), 28);
    }

    #[test]
    fn school_years_turn_on_the_second_of_april() {
        for (birth, april) in [
            (date(2019, 4, 1), date(2024, 4, 1)),
            (date(2019, 4, 2), date(2025, 4, 1)),
            (date(2019, 12, 31), date(2025, 4, 1)),
            (date(2020, 1, 1), date(2025, 4, 1)),
        ] {
            assert_eq!(school_year_before_entry(birth).0, april, "{birth}");
        }
    }
}
