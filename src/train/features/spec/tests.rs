use super::*;

fn parse(text: &str) -> Result<Spec, Error> {
    Spec::parse(&text.parse().unwrap())
}

#[track_caller]
fn refused(text: &str, words: &str) {
    let error = parse(text).unwrap_err();
    assert!(matches!(error, Error::Config(_)));
    assert!(error.to_string().contains(words), "`{words}` is not in: {error}");
}

#[test]
fn the_founding_kinds_are_read() {
    let spec = parse(
        "a = { type = 'polynomial', columns = ['x'], degree = 3 }
         b = { type = 'interaction', columns = ['x', 'y'] }
         c = { type = 'time_based', date_column = 't' }
         d = { type = 'ordinal', columns = ['c'], unknown = -1 }
         e = { type = 'ordinal', columns = ['d'], unknown = 'other' }",
    )
    .unwrap();
    let Member::Polynomial(polynomial) = &spec.members[0].1 else { panic!() };
    assert_eq!((polynomial.degree, polynomial.drop), (3, false));
    let Member::TimeBased(time) = &spec.members[2].1 else { panic!() };
    assert_eq!(time.parts, [TimePart::Hour, TimePart::DayOfWeek, TimePart::Month]);
    let Member::Ordinal(ordinal) = &spec.members[3].1 else { panic!() };
    assert_eq!(ordinal.unknown, Unknown::Number(-1.0));
    let Member::Ordinal(ordinal) = &spec.members[4].1 else { panic!() };
    assert_eq!(ordinal.unknown, Unknown::Word(kinds::UnknownWord::Other));
}

#[test]
fn every_problem_is_told_with_what_may_have_been_meant() {
    refused("p = { type = 'polinomial', columns = ['x'] }", "did you mean `polynomial`?");
    refused(
        "p = { type = 'polynomial', colums = ['x'] }",
        "features.p: `colums` is not a key of polynomial; did you mean `columns`?",
    );
    refused("p = { columns = ['x'] }", "`type` is missing");
    refused("p = 3", "must be a table");
    refused("p = { type = 'polynomial', columns = 'x' }", "expected a sequence");
    refused("p = { type = 'polynomial', columns = ['x'], degree = 1 }", "2 to 10");
    refused("p = { type = 'polynomial', columns = ['x', 'x'] }", "named twice");
    refused("p = { type = 'interaction', columns = ['x'] }", "needs 2 or more");
    refused(
        "p = { type = 'impute', columns = ['x'], strategy = 'mean', value = 3 }",
        "belongs to strategy `constant`",
    );
    refused("p = { type = 'impute', columns = ['x'], strategy = 'mode' }", "unknown variant `mode`");
    refused("p = { type = 'bins', columns = ['x'], edges = [2.0, 1.0] }", "must ascend");
    refused("p = { type = 'bins', columns = ['x'] }", "either `edges` or `quantiles`");
    refused("p = { type = 'time_based', date_column = 't', parts = ['hours'] }", "hours");
    let both = parse("p = { type = 'x' }\nq = { type = 'drop', columns = [] }").unwrap_err().to_string();
    assert_eq!(both.lines().count(), 2, "{both}");
}
