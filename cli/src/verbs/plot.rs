//! The picture that `elman sine` leaves behind, as PNG or SVG.
//!
//! Plotters draws the shapes, on a grid finer than the pixels: averaged down, it gives the PNG
//! smooth edges, and the SVG a curve without kinks. The letters of the PNG are set here, in a font
//! inside the binary, as plotters' own `ab_glyph` text has uneven gaps and sits off its line.

use ab_glyph::{Font, FontRef, ScaleFont, point};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::{coord::Shift, coord::types::RangedCoordf64, prelude::*};
use std::{error::Error, ops::Range, path::Path};

/// The size of the picture in pixels, each of which is `UNIT` by `UNIT` on the grid.
const SIZE: (u32, u32) = (1600, 900);
const UNIT: u32 = 4;
const GRID: (u32, u32) = (SIZE.0 * UNIT, SIZE.1 * UNIT);
// Where the axes lie on the grid; the words stand around them.
const LEFT: i32 = 700;
const RIGHT: i32 = 6200;
const TOP: i32 = 872;
const BOTTOM: i32 = 3144;

// Blue and vermilion are Okabe and Ito's, which every kind of colour vision tells apart; the truth
// is grey, to stay behind them.
const CURVE: RGBColor = RGBColor(150, 158, 171);
const INPUT: Mark = [(40, RGBColor(0, 114, 178)), (28, WHITE)];
const PREDICTION: Mark = [(30, WHITE), (25, RGBColor(213, 94, 0))];
const INK: RGBColor = RGBColor(31, 36, 45);
const FADED: RGBColor = RGBColor(86, 93, 106);
const FAINT: RGBColor = RGBColor(231, 233, 237);

/// The size, colour, weight and font file of a text.
struct Type(f32, RGBColor, FontStyle, &'static [u8]);
const TITLE: Type = Type(160.0, INK, FontStyle::Bold, notosans::BOLD_TTF);
const LABEL: Type = Type(108.0, INK, FontStyle::Normal, notosans::REGULAR_TTF);
const SMALL: Type = Type(96.0, FADED, FontStyle::Normal, notosans::REGULAR_TTF);

/// Two discs, by radius and colour; white sets them off from what lies below.
type Mark = [(u32, RGBColor); 2];
type Point = (f64, f64);
type Spot = (i32, i32);
type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

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

/// What there is to see; every point is (t, sin(t)).
#[derive(Clone, Copy, Default)]
pub(crate) struct Picture<'a> {
    /// The headline.
    pub(crate) title: &'a str,
    /// A smaller line below it.
    pub(crate) subtitle: &'a str,
    /// The true function, dense enough to be joined by straight lines.
    pub(crate) curve: &'a [Point],
    /// What the network was shown: hollow circles.
    pub(crate) inputs: &'a [Point],
    /// What the network answered: filled dots.
    pub(crate) predictions: &'a [Point],
}

/// Draws `picture` and returns the bytes of the whole file.
///
/// Points far off the curve move to the edge; a note counts them and those that are not finite.
pub(crate) fn render(picture: &Picture<'_>, format: Format) -> Result<Vec<u8>, String> {
    match format {
        Format::Png => png(picture),
        Format::Svg => svg(picture),
    }
    .map_err(|error| error.to_string())
}

fn png(picture: &Picture<'_>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut pixels = vec![0; 3 * (GRID.0 * GRID.1) as usize];
    draw(picture, BitMapBackend::with_buffer(&mut pixels, GRID), true)?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, SIZE.0, SIZE.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&shrink(&pixels))?;
    Ok(file)
}

fn svg(picture: &Picture<'_>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut svg = String::new();
    draw(picture, SVGBackend::with_string(&mut svg, GRID), false)?;
    let size = |(width, height)| format!(r#"width="{width}" height="{height}""#);
    Ok(svg.replacen(&size(GRID), &size(SIZE), 1).into_bytes())
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

fn draw<DB: DrawingBackend>(picture: &Picture<'_>, to: DB, letters: bool) -> Drawn<DB> {
    let area = to.into_drawing_area();
    let on = Canvas { area, letters };
    on.area.fill(&WHITE)?;
    // Not NaN, nor so far out that sums and differences could overflow.
    let near = |&(t, v): &Point| t.abs() + v.abs() < 1e15;
    let mut all = [picture.curve, picture.inputs, picture.predictions].concat();
    let mut curve = picture.curve.to_vec();
    all.retain(near);
    curve.retain(near);
    // A network run wild must not squash the rest: no further than three times the amplitude.
    let limits = range(curve.iter().map(|point| point.1), 1.0);
    let clip = |point: &Point| point.1.clamp(limits.start, limits.end);
    let xs = range(all.iter().map(|point| point.0), 0.02);
    let ys = range(all.iter().map(clip), 0.08);
    let [x_axis, y_axis] = [&xs, &ys].map(|ends| RangedCoordf64::from(ends.clone()));
    // Clamped to the axes, lest plotters' integers overflow.
    let x_of = |t: f64| x_axis.map(&t.clamp(xs.start, xs.end), (LEFT, RIGHT));
    let y_of = |v: f64| y_axis.map(&v.clamp(ys.start, ys.end), (BOTTOM, TOP));

    for (t, label) in labelled(x_axis.key_points(12)) {
        let x = x_of(t);
        on.line([(x, TOP), (x, BOTTOM)], 6, FAINT)?;
        on.line([(x, BOTTOM), (x, BOTTOM + 32)], 6, FADED)?;
        on.text(&label, (x, BOTTOM + 152), 0.5, &SMALL)?;
    }
    for (v, label) in labelled(y_axis.key_points(8)) {
        let y = y_of(v);
        on.line([(LEFT, y), (RIGHT, y)], 6, FAINT)?;
        on.line([(LEFT - 32, y), (LEFT, y)], 6, FADED)?;
        on.text(&label, (LEFT - 72, y + 34), 1.0, &SMALL)?;
    }
    on.line([(LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM)], 6, FADED)?;

    let curve = curve.iter().map(|&(t, v)| (x_of(t), y_of(v)));
    on.line(curve.collect::<Vec<_>>(), 16, CURVE)?;
    let mut astray = 0;
    for (points, mark) in [(picture.inputs, INPUT), (picture.predictions, PREDICTION)] {
        for &(t, v) in points {
            astray += i32::from(!xs.contains(&t) || !ys.contains(&v));
            if t.is_finite() && v.is_finite() {
                on.mark((x_of(t), y_of(v)), mark)?;
            }
        }
    }

    on.text(picture.title, (LEFT, 280), 0.0, &TITLE)?;
    on.text(picture.subtitle, (LEFT, 456), 0.0, &SMALL)?;
    on.text("t", ((LEFT + RIGHT) / 2, BOTTOM + 328), 0.5, &LABEL)?;
    on.text("sin(t)", (LEFT - 340, (TOP + BOTTOM) / 2 + 34), 1.0, &LABEL)?;

    let (y, line) = (696, 730);
    on.line([(LEFT, y), (LEFT + 176, y)], 16, CURVE)?;
    on.text("sin(t)", (LEFT + 224, line), 0.0, &LABEL)?;
    on.mark((LEFT + 760, y), INPUT)?;
    on.text("inputs", (LEFT + 840, line), 0.0, &LABEL)?;
    on.mark((LEFT + 1420, y), PREDICTION)?;
    on.text("predictions", (LEFT + 1488, line), 0.0, &LABEL)?;
    if astray > 0 {
        let note = format!("points beyond the axes (at the edge) or not finite: {astray}");
        on.text(&note, (RIGHT, line), 1.0, &SMALL)?;
    }
    on.area.present()
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

/// A drawing area; `letters` says that they are to be set here.
struct Canvas<DB: DrawingBackend> {
    area: DrawingArea<DB, Shift>,
    letters: bool,
}

impl<DB: DrawingBackend> Canvas<DB> {
    fn line(&self, spots: impl Into<Vec<Spot>>, width: u32, color: RGBColor) -> Drawn<DB> {
        let path = PathElement::new(spots, color.stroke_width(width));
        self.area.draw(&path)
    }

    fn mark(&self, at: Spot, mark: Mark) -> Drawn<DB> {
        let discs = mark.map(|(radius, color)| Circle::new(at, radius, color.filled()));
        discs.iter().try_for_each(|disc| self.area.draw(disc))
    }

    /// Writes `text` on a line at `(x, y)`, with `share` of its width to the left of that.
    fn text(&self, text: &str, (x, y): Spot, share: f32, style: &Type) -> Drawn<DB> {
        let &Type(size, color, weight, file) = style;
        if !self.letters {
            // Plotters takes 1.24 of the font size, and the middle of small letters for a line.
            let font = ("sans-serif", 1.24 * size, weight).into_font();
            let anchor = [HPos::Left, HPos::Center, HPos::Right][(2.0 * share) as usize];
            let style = font.color(&color).pos(Pos::new(anchor, VPos::Center));
            let text = Text::new(text, (x, y - (0.27 * size) as i32), style);
            return self.area.draw(&text);
        }
        let font = FontRef::try_from_slice(file).expect("the built-in font is sound");
        // What ab_glyph scales is the height of a line: for Noto Sans, 1.362 of the font size.
        let font = font.as_scaled(1.362 * size);
        let glyphs = text.chars().map(|letter| font.scaled_glyph(letter));
        let width: f32 = glyphs.clone().map(|glyph| font.h_advance(glyph.id)).sum();
        let mut pen = x as f32 - share * width;
        let mut pixels = Vec::new();
        for mut glyph in glyphs {
            glyph.position = point(pen, y as f32);
            pen += font.h_advance(glyph.id);
            if let Some(shape) = font.outline_glyph(glyph) {
                let corner = shape.px_bounds().min;
                shape.draw(|dx, dy, cover| {
                    let spot = (corner.x as i32 + dx as i32, corner.y as i32 + dy as i32);
                    pixels.push((spot, color.mix(f64::from(cover.min(1.0)))));
                });
            }
        }
        let mut pixels = pixels.into_iter();
        pixels.try_for_each(|(spot, ink)| self.area.draw_pixel(spot, &ink))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(curve: &[Point], predictions: &[Point], format: Format) -> Vec<u8> {
        let mut picture = Picture::default();
        (picture.curve, picture.inputs, picture.predictions) = (curve, curve, predictions);
        render(&picture, format).unwrap()
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
        for text in ["sin(t)", "inputs", "predictions", "finite: 2"] {
            assert!(svg.contains(text), "{text}");
        }
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
