//! Shapes and letters on the picture's grid.

use ab_glyph::{Font, FontRef, ScaleFont, point};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// The size, colour, weight and font file of a text.
pub(super) struct Type(pub(super) f32, pub(super) RGBColor, pub(super) FontStyle, pub(super) &'static [u8]);

/// Two discs, by radius and colour; white sets them off from what lies below.
pub(super) type Mark = [(u32, RGBColor); 2];
pub(super) type Spot = (i32, i32);
pub(crate) type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// A drawing area; `letters` says that they are to be set here.
pub(crate) struct Canvas<DB: DrawingBackend> {
    pub(super) area: DrawingArea<DB, Shift>,
    pub(super) letters: bool,
}

impl<DB: DrawingBackend> Canvas<DB> {
    pub(super) fn line(&self, spots: impl Into<Vec<Spot>>, width: u32, color: RGBColor) -> Drawn<DB> {
        let path = PathElement::new(spots, color.stroke_width(width));
        self.area.draw(&path)
    }

    /// A line of many spots that may turn about from one to the next. Plotters' corners reach out the further the sharper they
    /// are, without an end; an SVG's do not.
    pub(super) fn jagged(&self, spots: &[Spot], width: u32, color: RGBColor) -> Drawn<DB> {
        if !self.letters {
            return self.line(spots, width, color);
        }
        spots.windows(2).try_for_each(|pair| self.line(pair, width, color))
    }

    pub(super) fn mark(&self, at: Spot, mark: Mark) -> Drawn<DB> {
        let discs = mark.map(|(radius, color)| Circle::new(at, radius, color.filled()));
        discs.iter().try_for_each(|disc| self.area.draw(disc))
    }

    /// A filled rectangle between two corners.
    pub(super) fn block(&self, corners: [Spot; 2], color: RGBColor) -> Drawn<DB> {
        self.area.draw(&Rectangle::new(corners, color.filled()))
    }

    /// Writes `text` on a line at `(x, y)`, with `share` of its width to the left of that.
    pub(super) fn text(&self, text: &str, at: Spot, share: f32, style: &Type) -> Drawn<DB> {
        self.write(text, at, share, style, false)
    }

    /// The same from below to above: with `share` of its width below `(x, y)`.
    pub(super) fn text_up(&self, text: &str, at: Spot, share: f32, style: &Type) -> Drawn<DB> {
        self.write(text, at, share, style, true)
    }

    fn write(&self, text: &str, (x, y): Spot, share: f32, style: &Type, up: bool) -> Drawn<DB> {
        let &Type(size, color, weight, file) = style;
        if !self.letters {
            // Plotters takes 1.24 of the font size, and the middle of small letters for a line.
            let font = ("sans-serif", 1.24 * size, weight).into_font();
            let font = if up { font.transform(FontTransform::Rotate270) } else { font };
            let anchor = [HPos::Left, HPos::Center, HPos::Right][(2.0 * share) as usize];
            let style = font.color(&color).pos(Pos::new(anchor, VPos::Center));
            let middle = (0.27 * size) as i32;
            let at = if up { (x - middle, y) } else { (x, y - middle) };
            return self.area.draw(&Text::new(text, at, style));
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
                    // A quarter turn about (x, y).
                    let spot = if up { (x + spot.1 - y, y - (spot.0 - x)) } else { spot };
                    pixels.push((spot, color.mix(f64::from(cover.min(1.0)))));
                });
            }
        }
        let mut pixels = pixels.into_iter();
        pixels.try_for_each(|(spot, ink)| self.area.draw_pixel(spot, &ink))
    }
}
