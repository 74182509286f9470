//! Charts of numbers: curves over an axis, matrices of shares, and maps of weights.

use std::ops::Range;

use plotters::prelude::*;

use super::canvas::{Canvas, Drawn, Spot};
use super::heat::Heats;
use super::{Drawing, FADED, FAINT, GRID, HEADING, LABEL, Point, SMALL, TITLE};

/// Okabe and Ito's colours, which every kind of colour vision tells apart; the first is for what is known, and stays behind.
const COLORS: [RGBColor; 6] = [
    RGBColor(150, 158, 171),
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
];

/// Panes one beside the other.
pub(crate) struct Chart {
    /// The headline.
    pub(crate) title: String,
    /// A smaller line below it.
    pub(crate) subtitle: String,
    /// From left to right: one to three.
    pub(crate) panes: Vec<Pane>,
}

/// A part of a chart.
pub(crate) enum Pane {
    Curves(Panel),
    Matrix(Matrix),
    Heats(Heats),
}

impl Pane {
    /// Its share of the width.
    fn share(&self) -> i32 {
        match self {
            Self::Curves(_) | Self::Matrix(_) => 2,
            Self::Heats(_) => 3,
        }
    }
}

/// Curves over one pair of axes.
#[derive(Default)]
pub(crate) struct Panel {
    /// Its headline.
    pub(crate) title: String,
    /// What goes to the right.
    pub(crate) x: String,
    /// Whether the upward axis is logarithmic: values that are not above zero are left out.
    pub(crate) log: bool,
    /// On a logarithmic axis to the right, the places of its ticks; a linear one has its own.
    pub(crate) places: Vec<f64>,
    /// A height that is told from others: a broken line.
    pub(crate) level: Option<f64>,
    /// The curves, those of the back first.
    pub(crate) curves: Vec<Curve>,
}

/// One curve.
#[derive(Default)]
pub(crate) struct Curve {
    /// What it is.
    pub(crate) name: String,
    /// Its colour's number; 0 is the grey of what is known.
    pub(crate) color: usize,
    /// Its points, from left to right; one that is not finite breaks it.
    pub(crate) points: Vec<Point>,
    /// Whether there is a dot at each point, and it is filled; none for the line alone.
    pub(crate) dots: Vec<bool>,
}

/// Points of a curve that are too close together to be told apart in a thick line: 300 of them have 2 pixels each.
const MANY: usize = 300;

// Where the panels lie on the grid.
const LEFT: i32 = 560;
const RIGHT: i32 = GRID.0 as i32 - 160;
const BETWEEN: i32 = 560;
pub(super) const TOP: i32 = 1150;
pub(super) const BOTTOM: i32 = 3080;

impl Drawing for Chart {
    fn draw<DB: DrawingBackend>(&self, on: &Canvas<DB>) -> Drawn<DB> {
        on.text(&self.title, (LEFT - 300, 280), 0.0, &TITLE)?;
        on.text(&self.subtitle, (LEFT - 300, 456), 0.0, &SMALL)?;
        let shares: i32 = self.panes.iter().map(Pane::share).sum();
        let whole = RIGHT - LEFT - (self.panes.len() as i32 - 1) * BETWEEN;
        let mut left = LEFT;
        for pane in &self.panes {
            let ends = (left, left + whole * pane.share() / shares);
            match pane {
                Pane::Curves(panel) => panel.draw(on, ends)?,
                Pane::Matrix(matrix) => matrix.draw(on, ends)?,
                Pane::Heats(heats) => heats.draw(on, ends)?,
            }
            left = ends.1 + BETWEEN;
        }
        Ok(())
    }
}

impl Panel {
    fn draw<DB: DrawingBackend>(&self, on: &Canvas<DB>, (left, right): (i32, i32)) -> Drawn<DB> {
        on.text(&self.title, (left, TOP - 400), 0.0, &HEADING)?;
        self.legend(on, (left, right))?;
        let scale = Scale::of(self, (left, right));
        scale.draw(on, &self.x)?;
        if let Some(y) = self.level.and_then(|level| self.height(level)) {
            let y = scale.up(y);
            for x in (left..right).step_by(120) {
                on.line([(x, y), ((x + 60).min(right), y)], 10, FADED)?;
            }
        }
        let last = self.curves.len() as i32 - 1;
        for (n, curve) in self.curves.iter().enumerate() {
            let color = COLORS[curve.color % COLORS.len()];
            // Dots of different curves stand beside one another where they would cover each other.
            let aside = if curve.dots.is_empty() { 0 } else { (2 * n as i32 - last) * 22 };
            let beside = |(x, y): Spot| (x + aside, y);
            let spots: Vec<Option<Spot>> = curve.points.iter().map(|&point| scale.spot(point).map(beside)).collect();
            for run in spots.split(|spot| spot.is_none()) {
                let run: Vec<Spot> = run.iter().flatten().copied().collect();
                match run[..] {
                    [] => {}
                    [spot] => on.mark(spot, [(26, color), (24, color)])?,
                    _ if run.len() > MANY => on.jagged(&run, 7, color)?,
                    _ => on.line(run, 14, color)?,
                }
            }
            for (spot, filled) in spots.iter().zip(&curve.dots) {
                if let Some(spot) = spot {
                    on.mark(*spot, [(44, color), (28, if *filled { color } else { WHITE })])?;
                }
            }
        }
        Ok(())
    }

    /// What each colour is: in a second line where one is too short.
    fn legend<DB: DrawingBackend>(&self, on: &Canvas<DB>, (left, right): (i32, i32)) -> Drawn<DB> {
        let (mut x, mut y) = (left, TOP - 240);
        for curve in &self.curves {
            let width = 170 + 54 * curve.name.chars().count() as i32;
            if x > left && x + width > right {
                (x, y) = (left, y + 130);
            }
            on.line([(x, y), (x + 130, y)], 20, COLORS[curve.color % COLORS.len()])?;
            on.text(&curve.name, (x + 170, y + 34), 0.0, &SMALL)?;
            x += width + 130;
        }
        Ok(())
    }

    /// The height of a value on the upward axis; none where it has no place there.
    fn height(&self, y: f64) -> Option<f64> {
        let y = if self.log { y.log10() } else { y };
        (y.is_finite() && y.abs() < 1e15).then_some(y)
    }
}

/// Where numbers lie in a panel.
struct Scale<'p> {
    xs: Range<f64>,
    ys: Range<f64>,
    log: bool,
    /// Of a logarithmic axis to the right.
    places: &'p [f64],
    ends: (i32, i32),
}

impl<'p> Scale<'p> {
    fn of(panel: &'p Panel, ends: (i32, i32)) -> Self {
        let points = || panel.curves.iter().flat_map(|curve| &curve.points);
        let place = |point: &Point| if panel.places.is_empty() { point.0 } else { point.0.log10() };
        let margin = if panel.places.is_empty() { 0.0 } else { 0.12 };
        let xs = range(points().map(place).filter(|x| x.is_finite()), margin);
        let ys = range(points().map(|point| point.1).chain(panel.level).filter_map(|y| panel.height(y)), 0.06);
        Self { xs, ys, log: panel.log, places: &panel.places, ends }
    }

    fn spot(&self, (x, y): Point) -> Option<Spot> {
        let x = if self.places.is_empty() { x } else { x.log10() };
        let y = if self.log { y.log10() } else { y };
        if !(x.is_finite() && y.is_finite()) {
            return None;
        }
        Some((self.across(x), self.up(y)))
    }

    fn across(&self, x: f64) -> i32 {
        let share = (x - self.xs.start) / (self.xs.end - self.xs.start);
        self.ends.0 + (share.clamp(-0.01, 1.01) * f64::from(self.ends.1 - self.ends.0)) as i32
    }

    fn up(&self, y: f64) -> i32 {
        let share = (y - self.ys.start) / (self.ys.end - self.ys.start);
        BOTTOM - (share.clamp(-0.01, 1.01) * f64::from(BOTTOM - TOP)) as i32
    }

    fn draw<DB: DrawingBackend>(&self, on: &Canvas<DB>, name: &str) -> Drawn<DB> {
        let (left, right) = self.ends;
        // So many as have room for labels of five characters.
        let count = ((right - left) / 360).clamp(2, 7) as usize;
        let marks = match self.places {
            [] => ticks(&self.xs, count),
            places => places.iter().map(|place| (place.log10(), format!("{place}"))).collect(),
        };
        for (x, label) in marks {
            let x = self.across(x);
            on.line([(x, TOP), (x, BOTTOM)], 6, FAINT)?;
            on.text(&label, (x, BOTTOM + 152), 0.5, &SMALL)?;
        }
        let heights = if self.log { powers(&self.ys) } else { ticks(&self.ys, 6) };
        for (y, label) in heights {
            let y = self.up(y);
            on.line([(left, y), (right, y)], 6, FAINT)?;
            on.text(&label, (left - 60, y + 34), 1.0, &SMALL)?;
        }
        on.line([(left, TOP), (left, BOTTOM), (right, BOTTOM)], 6, FADED)?;
        on.text(name, ((left + right) / 2, BOTTOM + 330), 0.5, &LABEL)
    }
}

/// From the least to the greatest, and `margin` of that more on both sides; never empty.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> Range<f64> {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return 0.0..1.0;
    }
    let width = high - low;
    if width <= 1e-9 * low.abs().max(high.abs()).max(1e-9) {
        let around = low.abs().max(1.0) * 0.5;
        return low - around..high + around;
    }
    low - margin * width..high + margin * width
}

/// About so many round numbers, evenly spaced.
fn ticks(range: &Range<f64>, about: usize) -> Vec<(f64, String)> {
    let rough = (range.end - range.start) / about as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let places = (-(step.log10() + 1e-6).floor()).clamp(0.0, 12.0) as usize;
    let (first, last) = ((range.start / step).ceil() as i64, (range.end / step).floor() as i64);
    let label = |value: f64| format!("{:.places$}", value + 0.0).replace('-', "\u{2212}");
    (first..=last.min(first + 50)).map(|n| n as f64 * step).map(|value| (value, label(value))).collect()
}

/// Powers of ten, of which at most eight are shown; where there are fewer than two, also twice and five times these.
fn powers(range: &Range<f64>) -> Vec<(f64, String)> {
    if range.end.floor() - range.start.ceil() < 1.0 {
        let (first, last) = (range.start.floor().max(-12.0) as i32, range.end.ceil().min(12.0) as i32);
        let all = (first..=last).flat_map(|n| [1.0, 2.0, 5.0].map(|factor| factor * 10_f64.powi(n)));
        let inside = all.map(|value| (value.log10(), value)).filter(|(height, _)| range.contains(height));
        return inside.map(|(height, value)| (height, format!("{}", value as f32))).collect();
    }
    let (first, last) = (range.start.ceil() as i64, range.end.floor() as i64);
    let step = ((last - first) / 8 + 1).max(1);
    let label = |n: i64| match n {
        -3..=4 => format!("{}", 10_f64.powi(n as i32)),
        _ => format!("1e{n}").replace('-', "\u{2212}"),
    };
    (first..=last).step_by(step as usize).map(|n| (n as f64, label(n))).collect()
}

/// Shares between classes, each row of which is one whole: truth downwards, answers to the right.
pub(crate) struct Matrix {
    /// Its headline.
    pub(crate) title: String,
    /// Of rows and columns alike.
    pub(crate) names: Vec<String>,
    /// Counts, row by row.
    pub(crate) counts: Vec<usize>,
}

/// More classes than this do not fit: the first ones are shown.
const MOST_CLASSES: usize = 16;

impl Matrix {
    fn draw<DB: DrawingBackend>(&self, on: &Canvas<DB>, (left, right): (i32, i32)) -> Drawn<DB> {
        on.text(&self.title, (left, TOP - 400), 0.0, &HEADING)?;
        let (all, shown) = (self.names.len(), self.names.len().min(MOST_CLASSES));
        if shown == 0 {
            return Ok(());
        }
        let (first, top) = (left + 420, TOP + 60);
        let side = ((right - first).min(BOTTOM - top)) / shown as i32;
        on.text("answered", (first + side * shown as i32 / 2, TOP - 160), 0.5, &LABEL)?;
        on.text("true", (left - 300, top + side * shown as i32 / 2), 0.0, &LABEL)?;
        let short = |name: &str| -> String { name.chars().take(7).collect() };
        for (row, name) in self.names.iter().take(shown).enumerate() {
            let y = top + row as i32 * side;
            on.text(&short(name), (first - 60, y + side / 2 + 34), 1.0, &SMALL)?;
            on.text(&short(name), (first + row as i32 * side + side / 2, top - 50), 0.5, &SMALL)?;
            let counts = &self.counts[row * all..][..all];
            let whole = counts.iter().sum::<usize>().max(1) as f64;
            for (column, &count) in counts.iter().take(shown).enumerate() {
                let (x, share) = (first + column as i32 * side, count as f64 / whole);
                on.block([(x, y), (x + side - 12, y + side - 12)], shade(share))?;
                if side > 500 {
                    let style = if share > 0.55 { &super::ON_DARK } else { &SMALL };
                    on.text(&count.to_string(), (x + side / 2, y + side / 2), 0.5, style)?;
                    on.text(&format!("{:.0} %", 100.0 * share), (x + side / 2, y + side / 2 + 120), 0.5, style)?;
                }
            }
        }
        if all > shown {
            on.text(&format!("the first {shown} of {all} classes"), (left, BOTTOM + 330), 0.0, &SMALL)?;
        }
        Ok(())
    }
}

/// From white to blue.
pub(super) fn shade(share: f64) -> RGBColor {
    let mix = |to: u8| (255.0 + (f64::from(to) - 255.0) * share.clamp(0.0, 1.0)) as u8;
    RGBColor(mix(0), mix(114), mix(178))
}

#[cfg(test)]
mod tests {
    use super::super::{Format, render};
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let labels = |range: Range<f64>| ticks(&range, 6).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(0.0..1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(-30.0..70.0), ["\u{2212}20", "0", "20", "40", "60"]);
        assert_eq!(labels(1200.0..1300.0), ["1200", "1220", "1240", "1260", "1280", "1300"]);
        let of_powers: Vec<String> = powers(&(-8.2..0.5)).into_iter().map(|(_, label)| label).collect();
        assert_eq!(of_powers.first().map(|label| &label[..]), Some("1e\u{2212}8"));
        let of_few: Vec<String> = powers(&(-1.6..-0.6)).into_iter().map(|(_, label)| label).collect();
        assert_eq!(of_few, ["0.05", "0.1", "0.2"]);
    }

    #[test]
    fn whatever_the_numbers_are_there_is_a_picture() {
        let wild = [f64::NAN, f64::INFINITY, 1e300, -1e300, 0.0, 1e-300, 3.0];
        for n in 0..wild.len() {
            for log in [false, true] {
                let points = wild[n..].iter().enumerate().map(|(t, &y)| (t as f64, y)).collect();
                let dots = if n % 2 == 0 { Vec::new() } else { vec![true; 3] };
                let curve = Curve { name: "loss".into(), color: n, points, dots };
                let (places, level) = if n > 3 { (vec![1.0, 10.0], Some(wild[n])) } else { (Vec::new(), None) };
                let curves = vec![curve];
                let panel = Panel { title: "panel".into(), x: "epoch".into(), log, places, level, curves };
                let chart = Chart { title: "chart".into(), subtitle: String::new(), panes: vec![Pane::Curves(panel)] };
                let svg = String::from_utf8(render(&chart, Format::Svg).unwrap()).unwrap();
                assert!(svg.contains("loss") && svg.contains("epoch"));
            }
        }
        render(&Chart { title: "empty".into(), subtitle: String::new(), panes: Vec::new() }, Format::Svg).unwrap();
        for classes in [0, 1, 2, 60] {
            let names = (0..classes).map(|n| format!("class {n}")).collect();
            let matrix = Matrix { title: "m".into(), names, counts: vec![3; classes * classes] };
            let chart = Chart { title: "t".into(), subtitle: String::new(), panes: vec![Pane::Matrix(matrix)] };
            let svg = String::from_utf8(render(&chart, Format::Svg).unwrap()).unwrap();
            assert_eq!(svg.contains("the first 16 of 60"), classes == 60);
        }
    }
}
