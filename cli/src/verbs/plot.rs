//! Pictures as PNG or SVG: how they are drawn, and the one that `elman sine` leaves behind.
//!
//! Plotters draws the shapes, on a grid finer than the pixels: averaged down, it gives the PNG
//! smooth edges, and the SVG a curve without kinks. The letters of the PNG are set here, in a font
//! inside the binary, as plotters' own `ab_glyph` text has uneven gaps and sits off its line.

mod canvas;
pub(crate) mod chart;
pub(crate) mod heat;

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use canvas::{Canvas, Drawn, Mark, Spot, Type};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

/// The size of the picture in pixels, each of which is `UNIT` by `UNIT` on the grid.
const SIZE: (u32, u32) = (1600, 900);
const UNIT: u32 = 4;
const GRID: (u32, u32) = (SIZE.0 * UNIT, SIZE.1 * UNIT);
// Where the panels lie on the grid; the words stand above and around them.
const PANELS: [(i32, i32); 2] = [(440, 3230), (3450, 6240)];
const TOP: i32 = 1230;
const BOTTOM: i32 = 3180;

// Blue and vermilion are Okabe and Ito's, which every kind of colour vision tells apart; the truth
// is grey, to stay behind them.
const CURVE: RGBColor = RGBColor(150, 158, 171);
const HEARD: Mark = [(36, RGBColor(0, 114, 178)), (24, WHITE)];
const PREDICTION: Mark = [(28, WHITE), (23, RGBColor(213, 94, 0))];
const INK: RGBColor = RGBColor(31, 36, 45);
const FADED: RGBColor = RGBColor(86, 93, 106);
const FAINT: RGBColor = RGBColor(231, 233, 237);

const TITLE: Type = Type(160.0, INK, FontStyle::Bold, notosans::BOLD_TTF);
const HEADING: Type = Type(116.0, INK, FontStyle::Bold, notosans::BOLD_TTF);
const LABEL: Type = Type(108.0, INK, FontStyle::Normal, notosans::REGULAR_TTF);
const SMALL: Type = Type(96.0, FADED, FontStyle::Normal, notosans::REGULAR_TTF);

/// On a dark ground.
const ON_DARK: Type = Type(96.0, WHITE, FontStyle::Normal, notosans::REGULAR_TTF);

type Point = (f64, f64);

/// A file format of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Pixels, 1600 by 900.
    Png,
    /// Shapes in the same layout, with the reader's own sans-serif font.
    Svg,
}

impl Format {
    /// The format that the ending of `path` asks for, in upper or lower case, or what is wrong.
    pub(crate) fn of(path: &Path) -> Result<Self, String> {
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        let path = path.display();
        match ending.to_ascii_lowercase().as_str() {
            "png" => Ok(Self::Png),
            "svg" => Ok(Self::Svg),
            _ => Err(format!("{path}: expected .png or .svg, not '{ending}'")),
        }
    }
}

/// What there is to see.
#[derive(Clone, Copy, Default)]
pub(crate) struct Picture<'a> {
    /// The headline.
    pub(crate) title: &'a str,
    /// A smaller line below it.
    pub(crate) subtitle: &'a str,
    /// Side by side, on the same axes.
    pub(crate) panels: [Panel<'a>; PANELS.len()],
}

/// One run; every point is (t, sin(t)).
#[derive(Clone, Copy, Default)]
pub(crate) struct Panel<'a> {
    /// Its headline.
    pub(crate) title: &'a str,
    /// A smaller line below it.
    pub(crate) subtitle: &'a str,
    /// The true function, dense enough to be joined by straight lines.
    pub(crate) curve: &'a [Point],
    /// The true points that the network heard: hollow circles.
    pub(crate) heard: &'a [Point],
    /// What the network predicted: filled dots.
    pub(crate) predictions: &'a [Point],
}

/// What can be drawn on a picture's grid.
pub(crate) trait Drawing {
    /// Draws it on a white area of the grid's size.
    fn draw<DB: DrawingBackend>(&self, on: &Canvas<DB>) -> Drawn<DB>;
}

/// Draws `drawing` and returns the bytes of the whole file.
pub(crate) fn render(drawing: &impl Drawing, format: Format) -> Result<Vec<u8>, String> {
    match format {
        Format::Png => png(drawing),
        Format::Svg => svg(drawing),
    }
    .map_err(|error| error.to_string())
}

fn png(drawing: &impl Drawing) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut pixels = vec![0; 3 * (GRID.0 * GRID.1) as usize];
    draw(drawing, BitMapBackend::with_buffer(&mut pixels, GRID), true)?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, SIZE.0, SIZE.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&shrink(&pixels))?;
    Ok(file)
}

fn svg(drawing: &impl Drawing) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut svg = String::new();
    draw(drawing, SVGBackend::with_string(&mut svg, GRID), false)?;
    let size = |(width, height)| format!(r#"width="{width}" height="{height}""#);
    Ok(svg.replacen(&size(GRID), &size(SIZE), 1).into_bytes())
}

fn draw<DB: DrawingBackend>(drawing: &impl Drawing, to: DB, letters: bool) -> Drawn<DB> {
    let on = Canvas { area: to.into_drawing_area(), letters };
    on.area.fill(&WHITE)?;
    drawing.draw(&on)?;
    on.area.present()
}

/// Averages the pixels of the grid into those of the picture.
fn shrink(pixels: &[u8]) -> Vec<u8> {
    const N: usize = UNIT as usize;
    const ROW: usize = 3 * SIZE.0 as usize;
    let average = |rows: &[u8], i: usize| {
        let cell = |k| u32::from(rows[(k / N * ROW + i / 3 * 3) * N + k % N * 3 + i % 3]);
        ((0..N * N).map(cell).sum::<u32>() / (UNIT * UNIT)) as u8
    };
    let shrink = |rows| std::array::from_fn::<u8, ROW, _>(|i| average(rows, i));
    pixels.chunks_exact(N * N * ROW).flat_map(shrink).collect()
}

impl Drawing for Picture<'_> {
    // Points far off the curve move to the edge; a note counts them and those that are not finite.
    fn draw<DB: DrawingBackend>(&self, on: &Canvas<DB>) -> Drawn<DB> {
        let picture = self;
        let axes = Axes::of(&picture.panels);
        let mut astray = 0;
        for (panel, ends) in picture.panels.iter().zip(PANELS) {
            axes.draw(on, ends)?;
            on.text(panel.title, (ends.0, TOP - 240), 0.0, &HEADING)?;
            on.text(panel.subtitle, (ends.0, TOP - 100), 0.0, &SMALL)?;
            let curve = panel.curve.iter().filter(near).map(|&point| axes.spot(point, ends));
            on.line(curve.collect::<Vec<_>>(), 14, CURVE)?;
            for (points, mark) in [(panel.heard, HEARD), (panel.predictions, PREDICTION)] {
                astray += points.iter().filter(|point| !axes.hold(point)).count();
                let finite = points.iter().filter(|(t, v)| t.is_finite() && v.is_finite());
                finite.map(|&point| axes.spot(point, ends)).try_for_each(|spot| on.mark(spot, mark))?;
            }
        }

        let left = PANELS[0].0;
        on.text(picture.title, (left, 280), 0.0, &TITLE)?;
        on.text(picture.subtitle, (left, 456), 0.0, &SMALL)?;
        let (y, line) = (686, 720);
        on.line([(left, y), (left + 176, y)], 14, CURVE)?;
        on.text("sin(t)", (left + 224, line), 0.0, &LABEL)?;
        on.mark((left + 760, y), HEARD)?;
        on.text("true points heard", (left + 840, line), 0.0, &LABEL)?;
        on.mark((left + 2000, y), PREDICTION)?;
        on.text("predictions, each fed back as the next input", (left + 2080, line), 0.0, &LABEL)?;
        if astray > 0 {
            let note = format!("points beyond the axes (at the edge) or not finite: {astray}");
            on.text(&note, (PANELS[1].1, 456), 1.0, &SMALL)?;
        }
        Ok(())
    }
}

/// Not NaN, nor so far out that sums and differences could overflow.
fn near(&(t, v): &&Point) -> bool {
    t.abs() + v.abs() < 1e15
}

/// What the panels' axes, which are the same, reach from and to.
struct Axes {
    xs: Range<f64>,
    ys: Range<f64>,
}

impl Axes {
    fn of(panels: &[Panel<'_>]) -> Self {
        let curves = panels.iter().flat_map(|panel| panel.curve).filter(near);
        let others = panels.iter().flat_map(|panel| panel.heard.iter().chain(panel.predictions)).filter(near);
        // A network run wild must not squash the rest: no further than three times the amplitude.
        let limits = range(curves.clone().map(|point| point.1), 1.0);
        let all = curves.chain(others);
        let clip = |point: &Point| point.1.clamp(limits.start, limits.end);
        Self { xs: range(all.clone().map(|point| point.0), 0.02), ys: range(all.map(clip), 0.08) }
    }

    fn hold(&self, (t, v): &Point) -> bool {
        self.xs.contains(t) && self.ys.contains(v)
    }

    /// Where a point lies in the panel between `left` and `right`; at its edge, if beyond the axes.
    fn spot(&self, (t, v): Point, (left, right): (i32, i32)) -> Spot {
        let [x_axis, y_axis] = [&self.xs, &self.ys].map(|ends| RangedCoordf64::from(ends.clone()));
        // Clamped to the axes, lest plotters' integers overflow.
        let x = x_axis.map(&t.clamp(self.xs.start, self.xs.end), (left, right));
        (x, y_axis.map(&v.clamp(self.ys.start, self.ys.end), (BOTTOM, TOP)))
    }

    /// The grid, the axes and their labels.
    fn draw<DB: DrawingBackend>(&self, on: &Canvas<DB>, (left, right): (i32, i32)) -> Drawn<DB> {
        let [x_axis, y_axis] = [&self.xs, &self.ys].map(|ends| RangedCoordf64::from(ends.clone()));
        for (t, label) in labelled(x_axis.key_points(9)) {
            let (x, _) = self.spot((t, 0.0), (left, right));
            on.line([(x, TOP), (x, BOTTOM)], 6, FAINT)?;
            on.line([(x, BOTTOM), (x, BOTTOM + 32)], 6, FADED)?;
            on.text(&label, (x, BOTTOM + 152), 0.5, &SMALL)?;
        }
        for (v, label) in labelled(y_axis.key_points(8)) {
            let (_, y) = self.spot((0.0, v), (left, right));
            on.line([(left, y), (right, y)], 6, FAINT)?;
            on.line([(left - 32, y), (left, y)], 6, FADED)?;
            if left == PANELS[0].0 {
                on.text(&label, (left - 72, y + 34), 1.0, &SMALL)?;
            }
        }
        on.line([(left, TOP), (left, BOTTOM), (right, BOTTOM)], 6, FADED)?;
        on.text("t", ((left + right) / 2, BOTTOM + 310), 0.5, &LABEL)
    }
}

/// From the least to the greatest of `values`, and `margin` of that more on both sides.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> Range<f64> {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
    let size = low.abs().max(high.abs()).max(1.0);
    match high - low {
        none if none < 0.0 => -1.0..1.0,
        point if point < 1e-6 * size => low - size..high + size,
        width => low - margin * width..high + margin * width,
    }
}

/// Evenly spaced numbers with their labels, all of as many decimal places as the spacing needs.
fn labelled(all: Vec<f64>) -> impl Iterator<Item = (f64, String)> {
    let step = if let [a, b, ..] = all[..] { b - a } else { 1.0 };
    let places = (-(step.log10() + 1e-6).floor()).max(0.0) as usize;
    all.into_iter().map(move |number| {
        let number = (number / step).round() * step + 0.0; // not -0
        let label = format!("{number:.places$}").replace('-', "\u{2212}");
        (number, label)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(curve: &[Point], predictions: &[Point], format: Format) -> Vec<u8> {
        let panel = Panel { title: "left or right", curve, heard: curve, predictions, ..Panel::default() };
        render(&Picture { panels: [panel; 2], ..Picture::default() }, format).unwrap()
    }

    #[test]
    fn the_ending_names_the_format() {
        assert_eq!(Format::of(Path::new("a.b/c.PNG")), Ok(Format::Png));
        assert_eq!(Format::of(Path::new("c.Svg")), Ok(Format::Svg));
        let error = Format::of(Path::new("a.png/c.gif")).unwrap_err();
        assert_eq!(error, "a.png/c.gif: expected .png or .svg, not 'gif'");
        assert!(Format::of(Path::new("png")).is_err());
    }

    #[test]
    fn both_formats_are_what_they_should_be() {
        let (curve, wild) = ([(6.0, -1.0), (16.0, 1.0)], [(7.0, f64::NAN), (8.0, 1e30)]);
        let png = drawn(&curve, &wild, Format::Png);
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
        assert_eq!(png[16..24], [0, 0, 6, 64, 0, 0, 3, 132]); // 1600 by 900
        let svg = String::from_utf8(drawn(&curve, &wild, Format::Svg)).unwrap();
        for text in ["sin(t)", "true points heard", "predictions", "finite: 4"] {
            assert!(svg.contains(text), "{text}");
        }
        assert_eq!(svg.matches("left or right").count(), 2);
    }

    #[test]
    fn no_points_make_it_panic() {
        let values = [f64::MAX, f64::NAN, 1e14, -1e14, 0.0, 1e-9, -3.0];
        let points = values.map(|t| values.map(|v| (t, v))).concat();
        for n in 0..points.len() {
            drawn(&points[n..], &points[..n], Format::Svg);
            drawn(&points[n..=n], &[], Format::Svg);
        }
    }
}
