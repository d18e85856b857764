//! The part of PromQL that dashboards of these figures need: numbers and arithmetic, selectors, `..._over_time`, and
//! aggregations. Read here, evaluated over all steps of a question at once; where figures come from is the caller's.
//! Reference: Prometheus documentation, "Querying".

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

/// Nested expressions, at most.
const MAX_DEPTH: usize = 32;
/// Characters of a question, at most.
pub(crate) const MAX_CHARS: usize = 4_096;
/// Bytes that a regular expression may become.
const MAX_REGEX_BYTES: usize = 64 * 1024;
/// How long a figure counts that no newer one replaced, in milliseconds: as in Prometheus.
pub(crate) const LOOK_BACK_MS: i64 = 300_000;

pub(crate) type Labels = BTreeMap<&'static str, String>;

/// What a label must be.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    name: String,
    is_negated: bool,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    Pattern(Regex),
}

/// A name and its matchers; the name is the label `__name__`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector(Vec<Matcher>);

impl Selector {
    pub(crate) fn accepts(&self, labels: &Labels) -> bool {
        self.0.iter().all(|matcher| {
            let value = labels.get(matcher.name.as_str()).map_or("", String::as_str);
            let fits = match &matcher.value {
                Value::Text(text) => text == value,
                Value::Pattern(pattern) => pattern.is_match(value),
            };
            fits != matcher.is_negated
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    Avg,
    Min,
    Max,
    Sum,
    Count,
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    More,
    MoreEqual,
}

#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Number(f64),
    Select(Selector),
    OverTime(Fold, Selector, i64),
    Aggregate { fold: Fold, group: Group, inner: Box<Expr> },
    Top { is_largest: bool, count: usize, inner: Box<Expr> },
    Binary(Op, Box<Expr>, Box<Expr>),
}

/// Labels that an aggregation keeps.
#[derive(Clone, Debug)]
pub(crate) enum Group {
    By(Vec<String>),
    Without(Vec<String>),
}

/// Points of one series, by time in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) labels: Labels,
    pub(crate) points: Vec<(i64, f64)>,
    /// How long each counts.
    pub(crate) lasts_ms: i64,
}

/// One figure for each step, where there is one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) values: Vec<Option<f64>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Scalar(f64),
    Vector(Vec<Series>),
}

/// The steps of a question, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) every: i64,
}

impl Steps {
    pub(crate) fn count(self) -> usize {
        usize::try_from((self.to - self.from) / self.every + 1).unwrap_or(0)
    }

    pub(crate) fn times(self) -> impl Iterator<Item = i64> + Clone {
        (0..self.count()).map(move |i| self.from + i64::try_from(i).unwrap_or(0) * self.every)
    }
}

/// Why a question cannot be answered, in words.
pub(crate) type Refusal = String;

/// Gives what a selector finds from one time to another.
pub(crate) type Source<'a> = dyn Fn(&Selector, i64, i64) -> Result<Vec<Found>, Refusal> + 'a;

// ---- reading ---------------------------------------------------------------------------------------------------------

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// Reads an expression.
///
/// # Errors
/// It is none, or one beyond the part that is known here.
pub(crate) fn parse(text: &str) -> Result<Expr, Refusal> {
    let mut reader = Reader::new(text)?;
    let expr = reader.binary(0)?;
    reader.end()?;
    Ok(expr)
}

/// Reads a selector alone, as `match[]` has it.
///
/// # Errors
/// It is none.
pub(crate) fn parse_selector(text: &str) -> Result<Selector, Refusal> {
    let mut reader = Reader::new(text)?;
    let name = reader.word();
    let selector = reader.selector(name)?;
    reader.end()?;
    Ok(selector)
}

/// `15s`, `1h30m`, or seconds as a number; in milliseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return millis_of(seconds);
    }
    let (mut total, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = [
            ("ms", 1e-3),
            ("s", 1.0),
            ("m", 60.0),
            ("h", 3_600.0),
            ("d", 86_400.0),
            ("w", 604_800.0),
            ("y", 31_536_000.0),
        ];
        let (unit, seconds) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        total += number * seconds;
        rest = &rest[unit.len()..];
    }
    millis_of(total)
}

pub(crate) fn millis_of(seconds: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    (seconds.is_finite() && seconds.abs() < 1e12).then(|| (seconds * 1e3).round() as i64)
}

const OPERATORS: [(&str, Op, u8); 12] = [
    ("==", Op::Equal, 1),
    ("!=", Op::NotEqual, 1),
    ("<=", Op::LessEqual, 1),
    (">=", Op::MoreEqual, 1),
    ("<", Op::Less, 1),
    (">", Op::More, 1),
    ("+", Op::Add, 2),
    ("-", Op::Subtract, 2),
    ("*", Op::Multiply, 3),
    ("/", Op::Divide, 3),
    ("%", Op::Remainder, 3),
    ("^", Op::Power, 4),
];

const FOLDS: [(&str, Fold); 6] = [
    ("avg", Fold::Avg),
    ("min", Fold::Min),
    ("max", Fold::Max),
    ("sum", Fold::Sum),
    ("count", Fold::Count),
    ("last", Fold::Last),
];

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > MAX_CHARS {
            return Err(format!("the expression has {} characters, {MAX_CHARS} at most", text.len()));
        }
        Ok(Self { text, at: 0, depth: 0 })
    }

    fn skip(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn rest(&mut self) -> &'a str {
        self.skip();
        &self.text[self.at..]
    }

    fn take(&mut self, token: &str) -> bool {
        let is_there = self.rest().starts_with(token);
        if is_there {
            self.at += token.len();
        }
        is_there
    }

    fn need(&mut self, token: &str) -> Result<(), Refusal> {
        if self.take(token) { Ok(()) } else { Err(self.wrong(&format!("expected {token:?}"))) }
    }

    fn wrong(&mut self, why: &str) -> Refusal {
        let rest: String = self.rest().chars().take(20).collect();
        format!("{why} at character {}: {rest:?}", self.at + 1)
    }

    fn end(&mut self) -> Result<(), Refusal> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.wrong("this is not understood here")) }
    }

    /// A name of a metric, label or function; empty if there is none.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let is_in =
            |(i, c): (usize, char)| c.is_ascii_alphabetic() || "_:".contains(c) || (i > 0 && c.is_ascii_digit());
        let length = rest.char_indices().take_while(|at| is_in(*at)).count();
        self.at += length;
        &rest[..length]
    }

    fn binary(&mut self, least: u8) -> Result<Expr, Refusal> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("the expression is nested more than {MAX_DEPTH} deep"));
        }
        let mut left = self.unary()?;
        loop {
            let rest = self.rest();
            let found = OPERATORS.into_iter().find(|(token, _, strength)| rest.starts_with(token) && *strength > least);
            let Some((token, op, strength)) = found else { break };
            self.at += token.len();
            // A power binds to the right.
            let right = self.binary(if op == Op::Power { strength - 1 } else { strength })?;
            left = Expr::Binary(op, Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, Refusal> {
        if self.take("-") {
            let inner = self.binary(3)?;
            return Ok(Expr::Binary(Op::Multiply, Box::new(Expr::Number(-1.0)), Box::new(inner)));
        }
        if self.take("+") {
            return self.binary(3);
        }
        if self.take("(") {
            let inner = self.binary(0)?;
            self.need(")")?;
            return Ok(inner);
        }
        let rest = self.rest();
        if rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return self.number();
        }
        let word = self.word();
        if word.is_empty() && !rest.starts_with('{') {
            return Err(self.wrong("expected an expression"));
        }
        let opens = self.rest().starts_with('(');
        let fold = FOLDS.into_iter().find(|(name, _)| *name == word).map(|(_, fold)| fold);
        if let Some(fold) = fold.filter(|fold| *fold != Fold::Last) {
            return self.aggregate(fold);
        }
        match word {
            "topk" | "bottomk" if opens => self.top(word == "topk"),
            _ if opens => self.call(word),
            _ => {
                let selector = self.selector(word)?;
                if self.rest().starts_with('[') {
                    return Err(self.wrong("a range stands in a function such as avg_over_time"));
                }
                Ok(Expr::Select(selector))
            }
        }
    }

    fn number(&mut self) -> Result<Expr, Refusal> {
        let rest = self.rest();
        let length = rest
            .char_indices()
            .take_while(|(i, c)| {
                c.is_ascii_digit()
                    || *c == '.'
                    || matches!(c, 'e' | 'E')
                    || (matches!(c, '+' | '-') && rest[..*i].ends_with(['e', 'E']))
            })
            .count();
        let number = rest[..length].parse().map_err(|_| self.wrong("not a number"))?;
        self.at += length;
        Ok(Expr::Number(number))
    }

    fn call(&mut self, name: &str) -> Result<Expr, Refusal> {
        let fold = name.strip_suffix("_over_time").and_then(|name| FOLDS.into_iter().find(|(fold, _)| *fold == name));
        let Some((_, fold)) = fold else {
            return Err(format!(
                "the function {name:?} is not known here: known are {} over_time, and avg, min, max, sum, count, topk and \
                 bottomk",
                FOLDS.map(|(name, _)| format!("{name}_")).join(", ")
            ));
        };
        self.need("(")?;
        let metric = self.word();
        let selector = self.selector(metric)?;
        self.need("[")?;
        let rest = self.rest();
        let length = rest.find(']').ok_or_else(|| self.wrong("a bracket is not closed"))?;
        let range = parse_duration(rest[..length].trim()).filter(|range| *range > 0);
        let range = range.ok_or_else(|| self.wrong("not a range, as 5m"))?;
        self.at += length + 1;
        self.need(")")?;
        Ok(Expr::OverTime(fold, selector, range))
    }

    fn top(&mut self, is_largest: bool) -> Result<Expr, Refusal> {
        self.need("(")?;
        let Expr::Number(count) = self.number()? else { return Err(self.wrong("expected a number")) };
        self.need(",")?;
        let inner = Box::new(self.binary(0)?);
        self.need(")")?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held to a small range")]
        let count = count.clamp(0.0, 10_000.0) as usize;
        Ok(Expr::Top { is_largest, count, inner })
    }

    /// `sum by (job) (expr)`, or the group behind.
    fn aggregate(&mut self, fold: Fold) -> Result<Expr, Refusal> {
        let before = self.group()?;
        self.need("(")?;
        let inner = Box::new(self.binary(0)?);
        self.need(")")?;
        let group = match before {
            Some(group) => group,
            None => self.group()?.unwrap_or(Group::By(Vec::new())),
        };
        Ok(Expr::Aggregate { fold, group, inner })
    }

    fn group(&mut self) -> Result<Option<Group>, Refusal> {
        let start = self.at;
        let make = match self.word() {
            "by" => Group::By,
            "without" => Group::Without,
            _ => {
                self.at = start;
                return Ok(None);
            }
        };
        self.need("(")?;
        let mut names = Vec::new();
        while !self.take(")") {
            if !names.is_empty() {
                self.need(",")?;
            }
            match self.word() {
                "" => return Err(self.wrong("expected a label")),
                name => names.push(name.to_owned()),
            }
        }
        Ok(Some(make(names)))
    }

    fn selector(&mut self, name: &str) -> Result<Selector, Refusal> {
        let mut matchers = Vec::new();
        if !name.is_empty() {
            let value = Value::Text(name.to_owned());
            matchers.push(Matcher { name: "__name__".to_owned(), is_negated: false, value });
        }
        if self.take("{") {
            while !self.take("}") {
                matchers.push(self.matcher()?);
                if !self.take(",") && !self.rest().starts_with('}') {
                    return Err(self.wrong("expected , or }"));
                }
            }
        }
        if matchers.is_empty() {
            Err(self.wrong("a selector names a metric or a label"))
        } else {
            Ok(Selector(matchers))
        }
    }

    fn matcher(&mut self) -> Result<Matcher, Refusal> {
        let name = self.word().to_owned();
        let (is_negated, is_pattern) = match () {
            () if self.take("=~") => (false, true),
            () if self.take("!~") => (true, true),
            () if self.take("!=") => (true, false),
            () if self.take("=") => (false, false),
            () => return Err(self.wrong("expected =, !=, =~ or !~")),
        };
        let text = self.text()?;
        let value = if is_pattern {
            let whole = format!("^(?s:{text})$");
            let pattern = regex::RegexBuilder::new(&whole).size_limit(MAX_REGEX_BYTES).build();
            Value::Pattern(pattern.map_err(|error| format!("the pattern {text:?}: {error}"))?)
        } else {
            Value::Text(text)
        };
        Ok(Matcher { name, is_negated, value })
    }

    fn text(&mut self) -> Result<String, Refusal> {
        let rest = self.rest();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
        let quote = quote.ok_or_else(|| self.wrong("expected a text in quotes"))?;
        let (mut out, mut chars) = (String::new(), rest.char_indices().skip(1));
        while let Some((i, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += i + 1;
                    return Ok(out);
                }
                '\\' if quote != '`' => match chars.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, c @ ('\\' | '"' | '\''))) => out.push(c),
                    _ => return Err(self.wrong("an escape is not known")),
                },
                c => out.push(c),
            }
        }
        Err(self.wrong("a text is not closed"))
    }
}

// ---- evaluating ------------------------------------------------------------------------------------------------------

impl Expr {
    /// The figures at each step.
    ///
    /// # Errors
    /// The source refuses; two sides do not fit each other.
    pub(crate) fn evaluate(&self, steps: Steps, source: &Source<'_>) -> Result<Answer, Refusal> {
        Ok(match self {
            Self::Number(number) => Answer::Scalar(*number),
            Self::Select(selector) => {
                let found = source(selector, steps.from, steps.to)?;
                let at = |found: Found| Series { values: newest(&found, steps), labels: found.labels };
                Answer::Vector(found.into_iter().map(at).filter(has_some).collect())
            }
            Self::OverTime(fold, selector, range) => {
                let found = source(selector, steps.from - range, steps.to)?;
                let at = |found: Found| Series {
                    values: over_time(*fold, &found.points, *range, steps),
                    labels: nameless(found.labels),
                };
                Answer::Vector(found.into_iter().map(at).filter(has_some).collect())
            }
            Self::Aggregate { fold, group, inner } => match inner.evaluate(steps, source)? {
                Answer::Vector(all) => Answer::Vector(aggregate(*fold, group, &all)),
                Answer::Scalar(_) => return Err("a number cannot be aggregated".to_owned()),
            },
            Self::Top { is_largest, count, inner } => match inner.evaluate(steps, source)? {
                Answer::Vector(all) => Answer::Vector(top(*is_largest, *count, all)),
                Answer::Scalar(_) => return Err("topk needs series, not a number".to_owned()),
            },
            Self::Binary(op, left, right) => {
                binary(*op, left.evaluate(steps, source)?, right.evaluate(steps, source)?)?
            }
        })
    }
}

fn has_some(series: &Series) -> bool {
    series.values.iter().any(Option::is_some)
}

fn nameless(mut labels: Labels) -> Labels {
    labels.remove("__name__");
    labels
}

/// At each step the newest point that counts yet.
fn newest(found: &Found, steps: Steps) -> Vec<Option<f64>> {
    let mut at = 0;
    steps
        .times()
        .map(|time| {
            while found.points.get(at).is_some_and(|(point, _)| *point <= time) {
                at += 1;
            }
            let (point, value) = *found.points.get(at.checked_sub(1)?)?;
            (time - point < found.lasts_ms).then_some(value)
        })
        .collect()
}

/// At each step all points of the range before it, folded.
fn over_time(fold: Fold, points: &[(i64, f64)], range: i64, steps: Steps) -> Vec<Option<f64>> {
    let place = |time: i64| points.partition_point(|(at, _)| *at <= time);
    steps
        .times()
        .map(|time| {
            let within = &points[place(time - range)..place(time)];
            folded(fold, within.iter().map(|(_, value)| *value))
        })
        .collect()
}

fn folded(fold: Fold, values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut count, mut sum, mut least, mut most, mut last) = (0_u32, 0.0, f64::INFINITY, f64::NEG_INFINITY, 0.0);
    for value in values {
        count += 1;
        sum += value;
        least = value.min(least);
        most = value.max(most);
        last = value;
    }
    (count > 0).then(|| match fold {
        Fold::Avg => sum / f64::from(count),
        Fold::Min => least,
        Fold::Max => most,
        Fold::Sum => sum,
        Fold::Count => f64::from(count),
        Fold::Last => last,
    })
}

fn aggregate(fold: Fold, group: &Group, all: &[Series]) -> Vec<Series> {
    let mut groups: BTreeMap<Labels, Vec<&Series>> = BTreeMap::new();
    for series in all {
        let keeps = |name: &str| match group {
            Group::By(names) => names.iter().any(|kept| kept == name),
            Group::Without(names) => name != "__name__" && !names.iter().any(|dropped| dropped == name),
        };
        let mut labels = series.labels.clone();
        labels.retain(|name, _| keeps(name));
        groups.entry(labels).or_default().push(series);
    }
    let fold_all = |(labels, members): (Labels, Vec<&Series>)| {
        let steps = members.first().map_or(0, |series| series.values.len());
        let values = (0..steps).map(|i| folded(fold, members.iter().filter_map(|series| series.values[i]))).collect();
        Series { labels, values }
    };
    groups.into_iter().map(fold_all).collect()
}

fn top(is_largest: bool, count: usize, mut all: Vec<Series>) -> Vec<Series> {
    let steps = all.first().map_or(0, |series| series.values.len());
    for i in 0..steps {
        let mut ranked: Vec<(usize, f64)> =
            all.iter().enumerate().filter_map(|(at, series)| Some((at, series.values[i]?))).collect();
        ranked.sort_by(|a, b| if is_largest { b.1.total_cmp(&a.1) } else { a.1.total_cmp(&b.1) });
        let kept: BTreeSet<usize> = ranked.into_iter().take(count).map(|(at, _)| at).collect();
        for (at, series) in all.iter_mut().enumerate() {
            if !kept.contains(&at) {
                series.values[i] = None;
            }
        }
    }
    all.retain(has_some);
    all
}

impl Op {
    const fn compares(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual | Self::Less | Self::LessEqual | Self::More | Self::MoreEqual)
    }

    /// Of two numbers: a comparison gives 1 or 0.
    #[expect(clippy::float_cmp, reason = "== is what was asked")]
    fn of(self, a: f64, b: f64) -> f64 {
        let truth = |is_so: bool| if is_so { 1.0 } else { 0.0 };
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Remainder => a % b,
            Self::Power => a.powf(b),
            Self::Equal => truth(a == b),
            Self::NotEqual => truth(a != b),
            Self::Less => truth(a < b),
            Self::LessEqual => truth(a <= b),
            Self::More => truth(a > b),
            Self::MoreEqual => truth(a >= b),
        }
    }
}

fn binary(op: Op, left: Answer, right: Answer) -> Result<Answer, Refusal> {
    // A comparison of a series keeps the figures for which it is true.
    let each = |own: f64, a: f64, b: f64| match op.of(a, b) {
        value if !op.compares() => Some(value),
        value => (value > 0.0).then_some(own),
    };
    let map = |mut all: Vec<Series>, of: &dyn Fn(f64) -> Option<f64>| {
        for series in &mut all {
            for value in &mut series.values {
                *value = value.and_then(of);
            }
            if !op.compares() {
                series.labels.remove("__name__");
            }
        }
        all.retain(has_some);
        Answer::Vector(all)
    };
    Ok(match (left, right) {
        (Answer::Scalar(a), Answer::Scalar(b)) => Answer::Scalar(op.of(a, b)),
        (Answer::Vector(all), Answer::Scalar(b)) => map(all, &|a| each(a, a, b)),
        (Answer::Scalar(a), Answer::Vector(all)) => map(all, &|b| each(b, a, b)),
        (Answer::Vector(left), Answer::Vector(right)) => {
            let mut others = BTreeMap::new();
            for series in right {
                if others.insert(nameless(series.labels), series.values).is_some() {
                    return Err("the right side has several series of the same labels".to_owned());
                }
            }
            let join = |mut series: Series| {
                let other = others.get(&nameless(series.labels.clone()))?;
                let pairs = series.values.iter().zip(other);
                let values: Vec<_> = pairs.map(|(a, b)| a.zip(*b).and_then(|(a, b)| each(a, a, b))).collect();
                if !op.compares() {
                    series.labels.remove("__name__");
                }
                Some(Series { values, ..series }).filter(has_some)
            };
            Answer::Vector(left.into_iter().filter_map(join).collect())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&'static str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    }

    /// Two destinations, a figure each minute: 1, 2, 3, ... and ten times that.
    fn source(selector: &Selector, from: i64, to: i64) -> Result<Vec<Found>, Refusal> {
        let series = |destination: &str, factor: f64| Found {
            labels: labels(&[("__name__", "rtt"), ("destination", destination), ("job", "pings")]),
            points: (1..=10_i32)
                .map(|i| (i64::from(i) * 60_000, f64::from(i) * factor))
                .filter(|(at, _)| (from - LOOK_BACK_MS..=to).contains(at))
                .collect(),
            lasts_ms: LOOK_BACK_MS,
        };
        Ok([series("one", 1.0), series("two", 10.0)].into_iter().filter(|it| selector.accepts(&it.labels)).collect())
    }

    type ByDestination = Vec<(String, Vec<Option<f64>>)>;

    /// The figures at minutes 2 and 4.
    fn ask(text: &str) -> Result<ByDestination, Refusal> {
        let steps = Steps { from: 120_000, to: 240_000, every: 120_000 };
        Ok(match parse(text)?.evaluate(steps, &source)? {
            Answer::Scalar(number) => vec![("number".to_owned(), vec![Some(number)])],
            Answer::Vector(all) => all
                .into_iter()
                .map(|series| (series.labels.get("destination").cloned().unwrap_or_default(), series.values))
                .collect(),
        })
    }

    fn is(text: &str, expected: &[(&str, &[f64])]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, values)| ((*name).to_owned(), values.iter().copied().map(Some).collect::<Vec<_>>()))
            .collect();
        assert_eq!(ask(text), Ok(expected), "{text}");
    }

    #[test]
    fn numbers_follow_the_rules_of_precedence() {
        for (text, value) in [
            ("1+1", 2.0),
            ("1 + 2 * 3", 7.0),
            ("(1 + 2) * 3", 9.0),
            ("2 ^ 3 ^ 2", 512.0),
            ("-2 ^ 2", -4.0),
            ("7 % 4 - 1", 2.0),
            ("1e3 / 4", 250.0),
            ("2 > 1", 1.0),
            ("1 - 1 - 1", -1.0),
        ] {
            is(text, &[("number", &[value])]);
        }
    }

    #[test]
    fn selectors_pick_by_every_kind_of_matcher() {
        is("rtt{destination=\"one\"}", &[("one", &[2.0, 4.0])]);
        is("rtt{destination!='one',}", &[("two", &[20.0, 40.0])]);
        is("{__name__=\"rtt\", destination=~\"o.*|three\"}", &[("one", &[2.0, 4.0])]);
        is("rtt{destination!~`o.+`}", &[("two", &[20.0, 40.0])]);
        is("rtt{destination=~\"ne\"}", &[]);
        assert_eq!(ask("rtt{nothing=\"\"} > 3").unwrap().len(), 2, "a label that is not there is empty");
    }

    #[test]
    fn figures_are_folded_over_time_and_over_series() {
        is("avg_over_time(rtt{destination=\"one\"}[2m])", &[("one", &[1.5, 3.5])]);
        is("max_over_time(rtt{destination=\"two\"}[1h])", &[("two", &[20.0, 40.0])]);
        is("sum(rtt)", &[("", &[22.0, 44.0])]);
        is("avg by (destination) (rtt)", &[("one", &[2.0, 4.0]), ("two", &[20.0, 40.0])]);
        is("max without (job, destination) (rtt)", &[("", &[20.0, 40.0])]);
        is("count(rtt) by (job)", &[("", &[2.0, 2.0])]);
        is("topk(1, rtt)", &[("two", &[20.0, 40.0])]);
        is("bottomk(1, rtt)", &[("one", &[2.0, 4.0])]);
        is("rtt / rtt * 100", &[("one", &[100.0, 100.0]), ("two", &[100.0, 100.0])]);
        is("1000 * rtt{destination=\"one\"}", &[("one", &[2_000.0, 4_000.0])]);
        assert_eq!(
            ask("rtt > 3").unwrap(),
            [("one".to_owned(), vec![None, Some(4.0)]), ("two".to_owned(), vec![Some(20.0), Some(40.0)])]
        );
    }

    #[test]
    fn a_figure_counts_for_a_while_and_a_gap_is_a_gap() {
        let found = Found { labels: Labels::new(), points: vec![(60_000, 1.0)], lasts_ms: LOOK_BACK_MS };
        let steps = Steps { from: 0, to: 420_000, every: 60_000 };
        let values = newest(&found, steps);
        assert_eq!(values[0], None, "before the first");
        assert_eq!((values[1], values[5], values[6], values[7]), (Some(1.0), Some(1.0), None, None));
    }

    #[test]
    fn what_is_not_known_is_refused_in_words() {
        for (text, says) in [
            ("", "expected an expression"),
            ("rate(rtt[5m])", "the function \"rate\" is not known here"),
            ("rtt[5m]", "avg_over_time"),
            ("rtt{", "expected ="),
            ("rtt{a=\"b}", "not closed"),
            ("rtt{a=~\"(\"}", "the pattern"),
            ("{}", "names a metric"),
            ("1 +", "expected an expression"),
            ("1 1", "not understood"),
            ("sum(1)", "cannot be aggregated"),
            ("avg_over_time(rtt[x])", "not a range"),
            ("rtt{a=\"\\q\"}", "escape"),
        ] {
            let refused = ask(text).unwrap_err();
            assert!(refused.contains(says), "{text}: {refused}");
        }
        assert!(parse(&"(".repeat(10_000)).is_err());
        assert!(parse(&"(".repeat(4_000)).unwrap_err().contains("nested"));
        assert!(parse(&format!("rtt{{a=~\"{}\"}}", "(x{100}){100}")).unwrap_err().contains("pattern"));
    }

    #[test]
    fn durations_are_seconds_or_units() {
        for (text, millis) in [
            ("15", Some(15_000)),
            ("0.5", Some(500)),
            ("15s", Some(15_000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("1x", None),
            ("", Some(0)),
            ("m", None),
        ] {
            assert_eq!(parse_duration(text), millis, "{text}");
        }
    }
}
