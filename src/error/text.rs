//! An error as one line of at most 4 KB: what is longer is cut, and says so.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

use super::Error;

/// Bytes of a name.
const NAME: usize = 400;
/// Bytes of a path or of a sentence.
const SENTENCE: usize = 1000;
/// Bytes of the things a list shows.
const LIST: usize = 2000;
/// Sizes of a shape.
const SIZES: usize = 16;

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Error::Shape { name, expected, got } => {
                write!(f, "{}: expected {}, got {}", cut(name, NAME), Dimensions(expected), Dimensions(got))
            }
            Error::Length { name, shape, got } => {
                let wanted = shape.iter().fold(1_usize, |n, &size| n.saturating_mul(size));
                write!(f, "{}: shape {} needs {wanted} elements, got {got}", cut(name, NAME), Dimensions(shape))
            }
            Error::Overflow { name, shape } => {
                write!(f, "{}: shape {} has more elements than memory can address", cut(name, NAME), Dimensions(shape))
            }
            Error::Memory { name, bytes, largest, available } => {
                write!(f, "{}: needs {}", cut(name, NAME), Bytes(*bytes))?;
                if let Some((part, bytes)) = largest {
                    write!(f, ", of them {} for {}", Bytes(*bytes), cut(part, NAME))?;
                }
                match available {
                    Some(available) => write!(f, ", but there are {}", Bytes(*available)),
                    None => write!(f, ", which the system refused"),
                }
            }
            Error::Setting { name, expected, got }
            | Error::Value { name, expected, got }
            | Error::State { name, expected, got } => {
                write!(f, "{}: expected {}, got {}", cut(name, NAME), cut(expected, SENTENCE), cut(got, SENTENCE))
            }
            Error::Stale { name, reason, .. } => write!(f, "{}: {}", cut(name, NAME), cut(reason, SENTENCE)),
            Error::Unsupported { name, what } => {
                write!(f, "{}: not supported: {}", cut(name, NAME), cut(what, SENTENCE))
            }
            Error::Ambiguous { name, candidates, settle } => {
                write!(f, "{}: more than one reading: ", cut(name, NAME))?;
                list(f, candidates, "; ")?;
                write!(f, "; {}", cut(settle, SENTENCE))
            }
            Error::Isa { asked, available } => {
                write!(f, "ISA tier '{}': expected one of this machine's tiers: ", cut(asked, NAME))?;
                list(f, available, ", ")
            }
            Error::UnknownParameter { name, known } => {
                write!(f, "no parameter is called '{}'; there are: ", cut(name, NAME))?;
                list(f, known, ", ")
            }
            Error::Weights { path, problems } => {
                place(f, path.as_deref())?;
                list(f, problems, "; ")
            }
            Error::Format { path, reason } => {
                place(f, path.as_deref())?;
                f.write_str(&cut(reason, SENTENCE))
            }
            Error::Io { action, path, source } => {
                let (path, source) = (path.display().to_string(), source.to_string());
                write!(f, "cannot {action} {}: {}", cut(&path, SENTENCE), cut(&source, SENTENCE))
            }
        }
    }
}

fn place(f: &mut Formatter<'_>, path: Option<&Path>) -> fmt::Result {
    match path {
        Some(path) => write!(f, "{}: ", cut(&path.display().to_string(), SENTENCE)),
        None => Ok(()),
    }
}

/// The text, or its beginning and its end where it has more than `most` bytes.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    let [begin, end] = [most / 2, text.len() - most / 2];
    let begin = (0..=begin).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let end = (end..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    format!("{}…{}", &text[..begin], &text[end..]).into()
}

/// As many of the texts as there is room for, and how many more there are.
fn list(f: &mut Formatter<'_>, texts: &[String], separator: &str) -> fmt::Result {
    let mut room = LIST;
    for (i, text) in texts.iter().enumerate() {
        let text = cut(text, SENTENCE);
        if i > 0 {
            if text.len() > room {
                return write!(f, "{separator}and {} more", Grouped((texts.len() - i) as u64));
            }
            f.write_str(separator)?;
        }
        f.write_str(&text)?;
        room = room.saturating_sub(text.len() + separator.len());
    }
    Ok(())
}

/// A shape, in brackets.
struct Dimensions<'a>(&'a [usize]);

impl Display for Dimensions<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(SIZES) {
            Some((first, rest)) if !rest.is_empty() => {
                let first = first.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
                write!(f, "[{first}, and {} more sizes]", Grouped(rest.len() as u64))
            }
            _ => write!(f, "{:?}", self.0),
        }
    }
}

/// A number with its digits in groups of three.
struct Grouped(u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 / 1000 {
            0 => write!(f, "{}", self.0),
            thousands => write!(f, "{},{:03}", Grouped(thousands), self.0 % 1000),
        }
    }
}

/// An amount of memory: bytes, and from a mebibyte on a rounded figure beside them.
struct Bytes(u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", Grouped(self.0))?;
        let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB")];
        match units.iter().find(|(size, _)| self.0 >= *size) {
            Some((size, unit)) => write!(f, " ({:.1} {unit})", self.0 as f64 / *size as f64),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_in_an_error_its_text_is_one_line_of_at_most_4_kb() {
        let long = "ä".repeat(65_536);
        let many: Vec<String> = (0..20_000).map(|i| format!("encoder.layers.{i}.weight_ih_l0: missing")).collect();
        let path = Path::new(&long);
        let errors = [
            Error::shape(&long, &[1; 21_846], &[usize::MAX; 21_846]),
            Error::length(&long, &[1; 21_846], 2),
            Error::overflow(&long, &[usize::MAX; 21_846]),
            Error::Memory {
                name: long.clone(),
                bytes: u64::MAX,
                largest: Some((long.clone(), u64::MAX)),
                available: Some(u64::MAX),
            },
            Error::setting(&long, &long, &long),
            Error::Stale { name: long.clone(), reason: long.clone(), source: None },
            Error::unsupported(&long, &long),
            Error::ambiguous(&long, many.clone(), &long),
            Error::ambiguous(&long, vec![long.clone(); 2], &long),
            Error::Isa { asked: long.clone(), available: many.clone() },
            Error::UnknownParameter { name: long.clone(), known: many.clone() },
            Error::weights(path, many),
            Error::weights(path, vec![long.clone(); 20]),
            Error::format(path, long.clone()),
            Error::io("read", path, std::io::Error::other(long.clone())),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.len() <= 4096, "{} bytes: {:?}", text.len(), error.kind());
        }
    }

    #[test]
    fn what_a_list_leaves_out_is_counted() {
        let problems: Vec<String> = (0..20_000).map(|i| format!("weight_{i}: missing")).collect();
        let text = Error::weights(Path::new("net"), problems.clone()).to_string();
        let (shown, left) = text.rsplit_once("; and ").unwrap();
        let shown = shown.matches(": missing").count();
        assert!(text.starts_with("net: weight_0: missing; weight_1: missing; "), "{text}");
        assert_eq!(left, format!("19,{:03} more", 20_000 - shown - 19_000));
        let few = Error::weights(Path::new("net"), problems[..3].to_vec()).to_string();
        assert_eq!(few, "net: weight_0: missing; weight_1: missing; weight_2: missing");
    }

    #[test]
    fn memory_is_told_in_bytes_and_in_units() {
        let text = Error::memory("sequence", 1 << 42, Some(16_000_000_000)).to_string();
        assert_eq!(
            text,
            "sequence: needs 4,398,046,511,104 bytes (4.0 TiB), but there are 16,000,000,000 bytes (14.9 GiB)"
        );
        let sum = Error::Memory {
            name: "run".into(),
            bytes: 3_000_000,
            largest: Some(("output".into(), 1000)),
            available: None,
        };
        assert_eq!(
            sum.to_string(),
            "run: needs 3,000,000 bytes (2.9 MiB), of them 1,000 bytes for output, which the system refused"
        );
    }

    #[test]
    fn the_systems_error_is_the_source() {
        use std::error::Error as _;
        let io = std::io::Error::from(std::io::ErrorKind::NotFound);
        let text = io.to_string();
        let error = Error::io("read", Path::new("net.safetensors"), io);
        assert_eq!(error.to_string(), format!("cannot read net.safetensors: {text}"));
        let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>()).unwrap();
        assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
        assert!(Error::setting("x", "y", "z").source().is_none());
    }
}
