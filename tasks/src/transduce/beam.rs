//! Targets by beam search (Graves 2012): at each step all beginnings that are followed, of several sources, are the rows
//! of one batch.

use elman::tensor::{PackedSequence, Seq};
use elman::{Input, State, Threads};

use super::attend::{Dot, places};
use super::network::{Memory, Networks, whole};
use super::settings::Attention;

/// How a search goes on and ends.
#[derive(Clone, Debug)]
pub(super) struct Search<'n> {
    pub(super) networks: &'n Networks,
    /// Beginnings that are followed at once, at least 1.
    pub(super) width: usize,
    /// Tokens after which a target is cut off.
    pub(super) longest: usize,
    /// The power of its length that a target's score is divided by.
    pub(super) length_power: f64,
    pub(super) begin: usize,
    pub(super) end: usize,
    /// What is never told.
    pub(super) never: Vec<usize>,
}

/// A whole target.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// Without the end.
    pub(super) tokens: Vec<usize>,
    pub(super) score: f64,
}

/// A beginning: a row of the batch.
#[derive(Clone, Debug)]
struct Begun {
    source: usize,
    tokens: Vec<usize>,
    /// The logarithm of its probability.
    sum: f64,
}

/// A beginning and the token that follows.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    sum: f64,
    row: usize,
    token: usize,
}

/// What of the sources is looked at again at each step.
struct Seen {
    /// The encoder's outputs, and of each source its rows; empty without attention.
    encoded: Vec<f32>,
    places: Vec<Vec<usize>>,
}

impl Search<'_> {
    /// Of each source, indices, the best targets, best first: at most as many as beginnings are followed, at least one.
    pub(super) fn run(&self, sources: &[&[f32]], memory: &mut Memory) -> elman::Result<Vec<Vec<Found>>> {
        let x = PackedSequence::from_rows(sources, 1)?;
        let encoded = self.networks.encoder.run_with(&x, None, &mut memory.encoder, Threads::one())?;
        let mut state = self.networks.first_state(encoded.state())?;
        let seen = match self.networks.attention {
            Attention::None => Seen { encoded: Vec::new(), places: vec![Vec::new(); sources.len()] },
            Attention::Dot => Seen { encoded: self.networks.seen(whole(encoded.values())), places: places(x.view()) },
        };
        let mut begun: Vec<_> =
            (0..sources.len()).map(|source| Begun { source, tokens: Vec::new(), sum: 0.0 }).collect();
        let mut found = vec![Vec::new(); sources.len()];
        for _ in 0..self.longest {
            let logits = self.step(&begun, &seen, &mut state, memory)?;
            let (mut next, mut from, mut first) = (Vec::new(), Vec::new(), 0);
            for group in begun.chunk_by(|a, b| a.source == b.source) {
                let source = group[0].source;
                let (kept, rows) = self.extend(group, &logits[first..], &mut found[source]);
                if !self.is_over(&kept, &found[source]) {
                    from.extend(rows.into_iter().map(|row| first + row));
                    next.extend(kept);
                }
                first += group.len();
            }
            begun = next;
            if begun.is_empty() {
                break;
            }
            state = self.chosen(&state, &from)?;
        }
        for Begun { source, tokens, sum } in begun {
            let score = self.score(sum, tokens.len());
            found[source].push(Found { tokens, score });
        }
        for found in &mut found {
            found.sort_by(|a, b| b.score.total_cmp(&a.score));
            found.truncate(self.width);
        }
        Ok(found)
    }

    fn score(&self, sum: f64, tokens: usize) -> f64 {
        sum / (tokens.max(1) as f64).powf(self.length_power)
    }

    /// One step of all rows: the logarithms of the probabilities of every token, a row each.
    fn step(
        &self,
        begun: &[Begun],
        seen: &Seen,
        state: &mut State,
        memory: &mut Memory,
    ) -> elman::Result<Vec<Vec<f64>>> {
        let Networks { decoder, head, attention, .. } = self.networks;
        let tokens: Vec<u32> = begun.iter().map(|row| *row.tokens.last().unwrap_or(&self.begin) as u32).collect();
        let input = Input::indices(&tokens, 1, tokens.len())?;
        let output = decoder.run_with(input, Some(state), &mut memory.decoder, Threads::one())?;
        let decoded = whole(output.values());
        let mut read = Seq::zeros(1, tokens.len(), head.inputs())?;
        match attention {
            Attention::None => read.data_mut().copy_from_slice(decoded),
            Attention::Dot => {
                let steps = begun.iter().enumerate().map(|(row, begun)| (row, seen.places[begun.source].clone()));
                Dot::forward(steps, &seen.encoded, decoded, decoder.outputs(), read.data_mut());
            }
        }
        let mut next = State::default();
        next.copy_from(output.state())?;
        *state = next;
        let logits = head.run_with(&read, None, &mut memory.head, Threads::one())?;
        Ok(whole(logits.values()).chunks_exact(head.outputs()).map(log_softmax).collect())
    }

    /// What follows the beginnings of one source: the best that go on, with the row that each comes from. Those that end, if
    /// they are among the best, are found.
    fn extend(&self, group: &[Begun], logs: &[Vec<f64>], found: &mut Vec<Found>) -> (Vec<Begun>, Vec<usize>) {
        let mut all = Vec::new();
        for (row, (begun, logs)) in group.iter().zip(logs).enumerate() {
            let told = logs.iter().enumerate().filter(|(token, _)| !self.never.contains(token));
            all.extend(told.map(|(token, log)| Candidate { sum: begun.sum + log, row, token }));
        }
        // Of equals the one of the better beginning, then the commoner token: the order is whole, and so the same everywhere.
        let order =
            |a: &Candidate, b: &Candidate| b.sum.total_cmp(&a.sum).then((a.row, a.token).cmp(&(b.row, b.token)));
        // At most one of each beginning ends.
        let most = self.width.saturating_add(group.len()).min(all.len());
        if most < all.len() {
            all.select_nth_unstable_by(most, order);
            all.truncate(most);
        }
        all.sort_unstable_by(order);
        let (mut kept, mut rows) = (Vec::new(), Vec::new());
        for (rank, Candidate { sum, row, token }) in all.into_iter().enumerate() {
            let Begun { source, tokens, .. } = &group[row];
            if token == self.end {
                if rank < self.width {
                    found.push(Found { tokens: tokens.clone(), score: self.score(sum, tokens.len() + 1) });
                }
            } else if kept.len() < self.width {
                let tokens = tokens.iter().copied().chain([token]).collect();
                kept.push(Begun { source: *source, tokens, sum });
                rows.push(row);
            }
        }
        (kept, rows)
    }

    /// Whether as many were found as are wanted, and what is begun is, as long as it is, worse than all of them. Where scores
    /// are no means it can only become worse still.
    fn is_over(&self, begun: &[Begun], found: &[Found]) -> bool {
        if found.len() < self.width {
            return false;
        }
        let mut scores: Vec<f64> = found.iter().map(|found| found.score).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        let worst = scores[self.width - 1];
        begun.iter().all(|begun| self.score(begun.sum, begun.tokens.len()) <= worst)
    }

    /// Some rows of a state.
    fn chosen(&self, state: &State, rows: &[usize]) -> elman::Result<State> {
        let mut chosen = self.networks.decoder.zero_state(rows.len())?;
        let (h, c) = (state.h_shape(), state.c_shape());
        gather(chosen.h_mut(), state.h(), h, rows);
        gather(chosen.c_mut(), state.c(), c, rows);
        Ok(chosen)
    }
}

/// Copies some rows of each layer, `from` of that shape.
fn gather(to: &mut [f32], from: &[f32], [layers, batch, width]: [usize; 3], rows: &[usize]) {
    for layer in 0..layers {
        for (at, row) in rows.iter().enumerate() {
            to[(layer * rows.len() + at) * width..][..width]
                .copy_from_slice(&from[(layer * batch + row) * width..][..width]);
        }
    }
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&x| (f64::from(x) - most).exp()).sum();
    logits.iter().map(|&x| f64::from(x) - most - sum.ln()).collect()
}
