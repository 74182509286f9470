//! Weights of attention: a map for each source, its tokens to the right, what was told of it downwards.

use elman_tasks::transduce::Attended;
use plotters::prelude::*;

use super::canvas::{Canvas, Drawn, Type};
use super::chart::{BOTTOM, TOP, shade};
use super::{FADED, FAINT, HEADING, INK, SMALL};

/// Maps side by side, and below one another where there are more than two.
pub(crate) struct Heats {
    /// The headline.
    pub(crate) title: String,
    /// At most [`Heats::MOST`] are drawn.
    pub(crate) maps: Vec<Heat>,
}

/// A map of weights.
pub(crate) struct Heat {
    /// To the right.
    pub(crate) source: Vec<String>,
    /// Downwards.
    pub(crate) target: Vec<String>,
    /// A row for each token of the target: the weights of the source's, from 0 to 1.
    pub(crate) weights: Vec<Vec<f32>>,
}

impl From<Attended> for Heat {
    fn from(Attended { source, target, weights }: Attended) -> Self {
        Self { source, target, weights }
    }
}

/// More tokens than this cannot be read: the first ones are shown.
const MOST_TOKENS: usize = 40;
/// The largest side of a square.
const SIDE: i32 = 250;

impl Heats {
    /// More maps are too small to be read.
    pub(crate) const MOST: usize = 4;

    pub(super) fn draw<DB: DrawingBackend>(&self, on: &Canvas<DB>, (left, right): (i32, i32)) -> Drawn<DB> {
        on.text(&self.title, (left, TOP - 400), 0.0, &HEADING)?;
        let shown = &self.maps[..self.maps.len().min(Self::MOST)];
        if shown.is_empty() {
            return on.text("there is nothing to show", (left, TOP), 0.0, &SMALL);
        }
        scale(on, left)?;
        let columns = shown.len().min(2) as i32;
        let rows = (shown.len() as i32 + 1) / 2;
        let (width, height) = ((right - left) / columns, (BOTTOM + 330 - (TOP - 60)) / rows);
        for (n, map) in shown.iter().enumerate() {
            let (column, row) = (n as i32 % columns, n as i32 / columns);
            map.draw(on, (left + column * width, TOP - 60 + row * height), (width - 160, height - 100))?;
        }
        Ok(())
    }
}

/// What the shades mean.
fn scale<DB: DrawingBackend>(on: &Canvas<DB>, left: i32) -> Drawn<DB> {
    const STEPS: i32 = 10;
    let y = TOP - 290;
    on.text("weight 0", (left, y + 84), 0.0, &SMALL)?;
    let first = left + 470;
    on.block([(first - 6, y), (first + STEPS * 60 + 6, y + 106)], FAINT)?;
    for n in 0..STEPS {
        let x = first + n * 60;
        on.block([(x, y + 6), (x + 60, y + 100)], shade(f64::from(n) / f64::from(STEPS - 1)))?;
    }
    on.text("1", (first + STEPS * 60 + 60, y + 84), 0.0, &SMALL)
}

impl Heat {
    /// In a rectangle of that corner and size.
    fn draw<DB: DrawingBackend>(&self, on: &Canvas<DB>, (left, top): (i32, i32), size: (i32, i32)) -> Drawn<DB> {
        let source = &self.source[..self.source.len().min(MOST_TOKENS)];
        let target = &self.target[..self.target.len().min(MOST_TOKENS)];
        if source.is_empty() || target.is_empty() {
            let text = format!("nothing was told of {}", self.source.concat());
            return on.text(&text, (left, top + 300), 0.0, &SMALL);
        }
        let longest = |tokens: &[String]| tokens.iter().map(|token| short(token).chars().count()).max().unwrap_or(0);
        let columns = (source.len() as i32, longest(source));
        let rows = (target.len() as i32, longest(target));
        // Letters take 0.6 of their size; those of rows stand at the left, those of columns above, upright where they are wide.
        let of = |letters: f32| {
            let wide = |count: usize| (0.62 * letters * count as f32) as i32;
            let (beside, side) = (wide(rows.1) + 60, |space: i32, count: i32| space / count);
            let across = side(size.0 - beside, columns.0).min(SIDE);
            let upright = wide(columns.1) > across;
            let above = if upright { wide(columns.1) + 70 } else { letters as i32 + 70 };
            (beside, above, upright, across.min(side(size.1 - above, rows.0)).max(12))
        };
        let roomy = of(96.0);
        let letters = (0.86 * roomy.3 as f32).clamp(48.0, 96.0);
        let (beside, above, upright, side) = of(letters);
        let style = Type(letters, INK, FontStyle::Normal, notosans::REGULAR_TTF);
        let (first, y) = (left + beside, top + above);
        for (n, token) in source.iter().enumerate() {
            let middle = first + n as i32 * side + side / 2;
            match upright {
                true => on.text_up(&short(token), (middle + (0.35 * letters) as i32, y - 40), 0.0, &style)?,
                false => on.text(&short(token), (middle, y - 40), 0.5, &style)?,
            }
        }
        let gap = if side > 60 { 6 } else { 2 };
        on.block([(first - gap, y - gap), (first + columns.0 * side, y + rows.0 * side)], FAINT)?;
        for (row, token) in target.iter().enumerate() {
            let y = y + row as i32 * side;
            on.text(&short(token), (first - 50, y + side / 2 + (0.35 * letters) as i32), 1.0, &style)?;
            let weights = self.weights.get(row).map_or(&[][..], |weights| &weights[..]);
            for (column, &weight) in weights.iter().take(source.len()).enumerate() {
                let x = first + column as i32 * side;
                on.block([(x, y), (x + side - gap, y + side - gap)], shade(f64::from(weight)))?;
            }
        }
        let (all, shown) = ((self.source.len(), self.target.len()), (source.len(), target.len()));
        if all != shown {
            let text = format!("the first {} of {} tokens, and {} of {}", shown.0, all.0, shown.1, all.1);
            let small = Type(80.0, FADED, FontStyle::Normal, notosans::REGULAR_TTF);
            on.text(&text, (left, y + rows.0 * side + 110), 0.0, &small)?;
        }
        Ok(())
    }
}

/// As much of a token as is shown; a blank can be seen.
fn short(token: &str) -> String {
    const MOST: usize = 12;
    let seen = if token.trim().is_empty() { "_".to_string() } else { token.to_string() };
    match seen.chars().count() {
        0..=MOST => seen,
        _ => seen.chars().take(MOST - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart::{Chart, Pane};
    use super::super::{Format, render};
    use super::*;

    fn svg(maps: Vec<Heat>) -> String {
        let heats = Heats { title: "Where it looked".into(), maps };
        let chart = Chart { title: "t".into(), subtitle: String::new(), panes: vec![Pane::Heats(heats)] };
        render(&chart, Format::Png).unwrap();
        String::from_utf8(render(&chart, Format::Svg).unwrap()).unwrap()
    }

    fn map(source: &[&str], target: &[&str]) -> Heat {
        let [source, target] =
            [source, target].map(|tokens| tokens.iter().map(ToString::to_string).collect::<Vec<_>>());
        // All weight on the diagonal.
        let of = |row: usize| (0..source.len()).map(|column| f32::from(u8::from(row == column))).collect();
        let weights = (0..target.len()).map(of).collect();
        Heat { source, target, weights }
    }

    #[test]
    fn every_token_and_every_weight_is_drawn() {
        let svg = svg(vec![map(&["q", "x"], &["QQ", "XX", "ZZ"]), map(&["extraordinarily"], &["W"])]);
        for token in ["q", "x", "QQ", "XX", "ZZ", "extraordina…", "W", "weight 0", "Where it looked"] {
            assert!(svg.contains(&format!("\n{token}\n")), "{token}");
        }
        let dark = svg.matches(r##"fill="#0072B2""##).count();
        // Two and one, and the end of the scale.
        assert_eq!(dark, 4);
    }

    #[test]
    fn whatever_the_tokens_are_there_is_a_picture() {
        assert!(svg(Vec::new()).contains("nothing to show"));
        assert!(svg(vec![map(&["a"], &[])]).contains("nothing was told of a"));
        let many = vec!["word"; 90];
        assert!(svg(vec![map(&many, &many)]).contains("the first 40 of 90 tokens"));
        let ragged = Heat { weights: vec![vec![f32::NAN; 9]], ..map(&["a", " "], &["b", "c"]) };
        svg((0..7).map(|_| map(&["a"], &["b"])).chain([ragged]).collect());
    }
}
