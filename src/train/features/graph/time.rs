//! Parts of a time, by whole numbers alone. Years begin in March here, so that leap days come last (Howard Hinnant,
//! "chrono-compatible low-level date algorithms").

use sidegate::onnx::write::Value;
use sidegate::tensor::Data;

use super::{FLOAT, Graph};
use crate::features::error::Error;
use crate::features::spec::TimePart;

const DAY: i64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01. Counted from there all times in use are positive, and division and remainder
/// mean the same to every engine.
const SHIFT: i64 = 719_468;
/// Days in 400 years.
const ERA: i64 = 146_097;

impl Graph<'_> {
    pub(super) fn time(&mut self, of: &str, part: TimePart) -> Result<Value, Error> {
        let input = self.input(of)?;
        let missing = self.is_missing(input)?;
        let seconds = self.once("seconds", of, |graph| {
            let whole = graph.whole(input, 0)?;
            Ok(graph.int("Add", &whole, SHIFT * DAY))
        })?;
        let number = match part {
            TimePart::Minute => {
                let minutes = self.int("Div", &seconds, 60);
                self.int("Mod", &minutes, 60)
            }
            TimePart::Hour => {
                let hours = self.int("Div", &seconds, 3_600);
                self.int("Mod", &hours, 24)
            }
            // 0000-03-01 was a Wednesday, as 1970-01-01 was a Thursday.
            TimePart::DayOfWeek => {
                let days = self.days(of, &seconds)?;
                let days = self.int("Add", &days, 2);
                self.int("Mod", &days, 7)
            }
            TimePart::Day => self.day(of, &seconds)?,
            TimePart::Month => self.month(of, &seconds)?,
            TimePart::Year => self.year(of, &seconds)?,
        };
        let number = self.cast(&number, FLOAT);
        let Some(missing) = missing else { return Ok(number) };
        let nan = self.builder.scalar(Data::Fp32(vec![f32::NAN]));
        Ok(self.builder.node("Where", &[&missing, &nan, &number], vec![]))
    }

    fn int(&mut self, op: &str, value: &Value, by: i64) -> Value {
        let by = self.builder.scalar(Data::Int64(vec![by]));
        self.builder.node(op, &[value, &by], vec![])
    }

    fn days(&mut self, of: &str, seconds: &Value) -> Result<Value, Error> {
        self.once("days", of, |graph| Ok(graph.int("Div", seconds, DAY)))
    }

    /// The day of its 400 years.
    fn era_day(&mut self, of: &str, seconds: &Value) -> Result<Value, Error> {
        let days = self.days(of, seconds)?;
        self.once("day of era", of, |graph| Ok(graph.int("Mod", &days, ERA)))
    }

    /// The year of its 400 years, from March on.
    fn era_year(&mut self, of: &str, seconds: &Value) -> Result<Value, Error> {
        let day = self.era_day(of, seconds)?;
        self.once("year of era", of, |graph| {
            let [fours, centuries, eras] = [1_460, 36_524, ERA - 1].map(|days| graph.int("Div", &day, days));
            let rest = graph.builder.node("Sub", &[&day, &fours], vec![]);
            let rest = graph.builder.node("Add", &[&rest, &centuries], vec![]);
            let rest = graph.builder.node("Sub", &[&rest, &eras], vec![]);
            Ok(graph.int("Div", &rest, 365))
        })
    }

    /// The day of its year, from March on.
    fn year_day(&mut self, of: &str, seconds: &Value) -> Result<Value, Error> {
        let (day, year) = (self.era_day(of, seconds)?, self.era_year(of, seconds)?);
        self.once("day of year", of, |graph| {
            let whole = graph.int("Mul", &year, 365);
            let [leap, not] = [4, 100].map(|years| graph.int("Div", &year, years));
            let before = graph.builder.node("Add", &[&whole, &leap], vec![]);
            let before = graph.builder.node("Sub", &[&before, &not], vec![]);
            Ok(graph.builder.node("Sub", &[&day, &before], vec![]))
        })
    }

    /// The month, from March on, which is 0.
    fn march_month(&mut self, of: &str, seconds: &Value) -> Result<Value, Error> {
        let day = self.year_day(of, seconds)?;
        self.once("month from march", of, |graph| {
            let five = graph.int("Mul", &day, 5);
            let five = graph.int("Add", &five, 2);
            Ok(graph.int("Div", &five, 153))
        })
    }

    fn month(&mut self, of: &str, seconds: &Value) -> Result<Value, Error> {
        let month = self.march_month(of, seconds)?;
        let month = self.int("Add", &month, 2);
        let month = self.int("Mod", &month, 12);
        Ok(self.int("Add", &month, 1))
    }

    fn day(&mut self, of: &str, seconds: &Value) -> Result<Value, Error> {
        let (day, month) = (self.year_day(of, seconds)?, self.march_month(of, seconds)?);
        let before = self.int("Mul", &month, 153);
        let before = self.int("Add", &before, 2);
        let before = self.int("Div", &before, 5);
        let day = self.builder.node("Sub", &[&day, &before], vec![]);
        Ok(self.int("Add", &day, 1))
    }

    fn year(&mut self, of: &str, seconds: &Value) -> Result<Value, Error> {
        let (days, year) = (self.days(of, seconds)?, self.era_year(of, seconds)?);
        let era = self.int("Div", &days, ERA);
        let era = self.int("Mul", &era, 400);
        let year = self.builder.node("Add", &[&era, &year], vec![]);
        // January and February, 10 and 11 here, belong to the next one.
        let month = self.march_month(of, seconds)?;
        let next = self.int("Div", &month, 10);
        Ok(self.builder.node("Add", &[&year, &next], vec![]))
    }
}
