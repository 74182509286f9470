//! Files of other kinds, told by their first bytes: what it is, and what to do.

/// How much of a file's beginning and of its end is looked at.
pub(super) const LOOK: usize = 64 << 10;

/// What begins each kind of file that is told by a signature alone, and what to say of it.
const SIGNATURES: &[(&[u8], &str)] = &[
    (
        b"\x89HDF\r\n\x1a\n",
        "this is an HDF5 file, as Keras writes with .h5: save its weights with safetensors in Python",
    ),
    (b"\x93NUMPY", "this is a NumPy array (.npy): save it under a name with safetensors.numpy.save_file"),
    (b"GGUF", "this is a GGUF file, a format of large language models: expected safetensors"),
    (
        b"version https://git-lfs.github.com/spec/",
        "this is a Git LFS pointer and not the file itself: run 'git lfs pull'",
    ),
    (b"\x1f\x8b", "this is a gzip archive: unpack it first"),
    (b"BZh", "this is a bzip2 archive: unpack it first"),
    (b"\xfd7zXZ\0", "this is an xz archive: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "this is a zstd archive: unpack it first"),
    (b"<!DOCTYPE", "this is a web page: download the file itself"),
    (b"<!doctype", "this is a web page: download the file itself"),
    (b"<html", "this is a web page: download the file itself"),
];

/// What torch.save wrote before PyTorch 1.6: a pickle of the number 0x1950a86a20f9469cfc6c.
const TORCH_LEGACY: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

const TORCH_SAVE: &str =
    "this is a file of torch.save: load it in PyTorch and save its state_dict() with safetensors.torch.save_file";

/// What a file is that is no safetensors file, in a sentence that says what to do; `None` where nothing is known of it.
/// `head` are its first bytes and `tail` its last, [`LOOK`] of each or fewer.
pub(super) fn kind(head: &[u8], tail: &[u8]) -> Option<&'static str> {
    if let Some((_, sentence)) = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature)) {
        return Some(sentence);
    }
    match head {
        [b'P', b'K', 3, 4, ..] => Some(archive(head, tail)),
        [0x80, 2..=5, rest @ ..] if rest.starts_with(TORCH_LEGACY) => Some(TORCH_SAVE),
        [0x80, 2..=5, ..] => {
            Some("this is a Python pickle: load it in Python and save its tensors with safetensors.torch.save_file")
        }
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => {
            Some("this is a TensorFlow Lite model: expected safetensors, with the names and shapes of PyTorch")
        }
        _ if head.get(257..262) == Some(b"ustar") => Some("this is a tar archive: unpack it first"),
        _ => text(head).or_else(|| protobuf(head)),
    }
}

/// A zip archive, by what the names of its entries tell.
fn archive(head: &[u8], tail: &[u8]) -> &'static str {
    let names = entries(head, b"PK\x03\x04", 26, 30).chain(entries(tail, b"PK\x01\x02", 28, 46));
    let (mut torch, mut script, mut numpy, mut keras) = (false, false, false, false);
    for name in names {
        torch |= name.ends_with(b"/data.pkl");
        script |= name.ends_with(b"/constants.pkl");
        numpy |= name.ends_with(b".npy");
        keras |= name.ends_with(b"model.weights.h5");
    }
    if script {
        "this is a TorchScript archive: load it with torch.jit.load and save its state_dict() with \
         safetensors.torch.save_file"
    } else if torch {
        TORCH_SAVE
    } else if keras {
        "this is a Keras model (.keras): save its weights with safetensors in Python"
    } else if numpy {
        "this is a NumPy archive (.npz): load it in Python and save its arrays with safetensors.numpy.save_file"
    } else {
        "this is a zip archive: unpack it first"
    }
}

/// The names of a zip's entries whose headers begin so: the name's length, little-endian, is at `length`, the name at
/// `name`.
fn entries<'a>(bytes: &'a [u8], signature: &'a [u8], length: usize, name: usize) -> impl Iterator<Item = &'a [u8]> {
    bytes.windows(signature.len()).enumerate().filter(move |&(_, window)| window == signature).filter_map(
        move |(at, _)| {
            let header = &bytes[at..];
            let len = usize::from(u16::from_le_bytes([*header.get(length)?, *header.get(length + 1)?]));
            header.get(name..name + len)
        },
    )
}

/// A file of text: JSON, CSV, or any other.
fn text(head: &[u8]) -> Option<&'static str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut in two where the look ends.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.len() < 2 || text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    if text.starts_with(['{', '[']) {
        return Some(if text.contains("\"weight_map\"") {
            "this is an index of several safetensors files: open one of those that it names"
        } else if text.contains("\"architecture\"") {
            "this is JSON, as of a NAM model: expected safetensors, with the names and shapes of PyTorch"
        } else {
            "this is JSON: expected safetensors, with the names and shapes of PyTorch"
        });
    }
    let separators = |line: &str| [',', ';', '\t'].map(|separator| line.matches(separator).count());
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let (first, second) = (separators(lines.next()?), lines.next().map(separators));
    let table = (0..first.len()).any(|i| first[i] > 0 && second.is_none_or(|second| second[i] == first[i]));
    let column = text.lines().take(2).all(|line| line.trim().parse::<f64>().is_ok());
    Some(if table || column {
        "this is a table in text (CSV): save its numbers as a tensor with safetensors.numpy.save_file"
    } else {
        "this is text: expected safetensors"
    })
}

/// ONNX's and TensorFlow's models are messages of protocol buffers, which have no signature: told by their first fields.
fn protobuf(head: &[u8]) -> Option<&'static str> {
    match *head {
        // saved_model_schema_version, which is 1; then a meta_graph. Released versions of ONNX begin with ir_version 3.
        [0x08, 1, 0x12, ..] => {
            Some("this is a TensorFlow SavedModel (.pb): expected safetensors, with the names and shapes of PyTorch")
        }
        // ir_version, a small number; then producer_name, opset_import or the graph.
        [0x08, 1..=32, 0x12 | 0x1a | 0x22 | 0x2a | 0x32 | 0x3a | 0x42, ..] => {
            Some("this is an ONNX model: expected safetensors, with the names and shapes of PyTorch")
        }
        // The first node, and in it its name: two fields of bytes, one inside the other.
        [0x0a, ..] => {
            let (outer, rest) = varint(&head[1..])?;
            let (inner, name) = varint(rest.strip_prefix(b"\x0a")?)?;
            let name = name.get(..inner)?;
            let plain = |byte: &u8| byte.is_ascii_graphic();
            (inner > 0 && inner < outer && name.iter().all(plain)).then_some(
                "this is a TensorFlow graph (.pb): expected safetensors, with the names and shapes of PyTorch",
            )
        }
        _ => None,
    }
}

/// A number of a protocol buffer, and what follows it.
fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (i, &byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}
