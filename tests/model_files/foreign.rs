//! Files of other kinds are told by their first bytes, with what to do.

use super::{Folder, open, text};
use elman::format::TensorFile;

/// A zip archive's entry with that name, as its local header has it; nothing else of it is looked at.
fn entry(name: &str) -> Vec<u8> {
    let mut header = b"PK\x03\x04".to_vec();
    header.resize(26, 0);
    header.extend((name.len() as u16).to_le_bytes());
    header.extend([0; 2]);
    header.extend(name.bytes());
    header
}

/// The same in the directory at the archive's end.
fn listed(name: &str) -> Vec<u8> {
    let mut header = b"PK\x01\x02".to_vec();
    header.resize(28, 0);
    header.extend((name.len() as u16).to_le_bytes());
    header.resize(46, 0);
    header.extend(name.bytes());
    header
}

#[test]
fn each_kind_is_named_with_what_to_do() {
    let mut tar = b"weights/model.pt".to_vec();
    tar.resize(257, 0);
    tar.extend(b"ustar\0");
    let legacy = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    let graph = b"\x0a\x31\x0a\x08wav_data\x12\x0bPlaceholder*\x0b\x0a\x05dtype\x12\x020\x07".to_vec();
    let script = [entry("net/data.pkl"), listed("net/data.pkl"), listed("net/constants.pkl")].concat();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n".to_vec();
    for (contents, kind) in [
        ([entry("archive/data.pkl"), listed("archive/data/0")].concat(), "torch.save"),
        (script, "TorchScript"),
        ([entry("x.npy"), entry("y.npy")].concat(), "NumPy archive (.npz)"),
        ([entry("metadata.json"), entry("config.json"), listed("model.weights.h5")].concat(), "Keras model (.keras)"),
        (entry("word/document.xml"), "zip archive"),
        (legacy, "torch.save"),
        (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}".to_vec(), "Python pickle"),
        (b"\x89HDF\r\n\x1a\n\0\0\0\0".to_vec(), "HDF5"),
        (b"\x93NUMPY\x01\0v\0{'descr'".to_vec(), "NumPy array (.npy)"),
        (b"\x08\x08\x12\x07pytorch\x1a\x062.15.0:\xff\x01".to_vec(), "ONNX"),
        (b"\x08\x01\x12\xb4\x0c\x0a\x2c".to_vec(), "TensorFlow SavedModel (.pb)"),
        (graph, "TensorFlow graph (.pb)"),
        (b"\x1c\0\0\0TFL3\x14\0".to_vec(), "TensorFlow Lite"),
        (b"time,value\n0,1.5\n1,2.5\n".to_vec(), "CSV"),
        (b"1.5;2.5\r\n3.5;4.5\r\n".to_vec(), "CSV"),
        (b"0.0e+00\n3.09e-01\n".to_vec(), "CSV"),
        (b"{\"layers\": []}".to_vec(), "this is JSON"),
        (b"\xef\xbb\xbf\n  [1, 2]".to_vec(), "this is JSON"),
        (b"{\"version\": \"0.5.4\", \"architecture\": \"LSTM\"}".to_vec(), "NAM"),
        (b"{\"metadata\": {}, \"weight_map\": {}}".to_vec(), "index of several safetensors files"),
        (b"import torch\nprint(1)\n".to_vec(), "this is text"),
        ("größer".repeat(20_000).into_bytes(), "this is text"),
        (pointer, "this is a Git LFS pointer and not the file itself: run 'git lfs pull'"),
        (b"GGUF\x03\0\0\0".to_vec(), "GGUF"),
        (b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), "gzip"),
        (b"BZh91AY&SY".to_vec(), "bzip2"),
        (b"\xfd7zXZ\0\0\x04".to_vec(), "xz archive"),
        (b"\x28\xb5\x2f\xfd\x04\0\0\0".to_vec(), "zstd"),
        (tar, "tar archive"),
        (b"<!DOCTYPE html><html>".to_vec(), "web page"),
    ] {
        // The same of a file and of bytes; a library has no options to speak of.
        let from_file = text(&open(&contents).unwrap_err());
        assert_eq!(text(&TensorFile::from_bytes(contents).unwrap_err()), from_file);
        assert!(from_file.starts_with("not a safetensors file: this is "), "{kind}: {from_file}");
        assert!(from_file.contains(kind) && !from_file.contains(" --"), "{kind}: {from_file}");
        // What it is, and what to do or what was expected.
        assert!(from_file.matches(": ").count() >= 2, "{kind}: {from_file}");
    }
    assert_eq!(text(&TensorFile::from_bytes([]).unwrap_err()), "the file is empty");
}

/// What tells a TorchScript archive from a state dict lies behind the tensors, at the archive's end.
#[test]
fn the_end_of_a_long_archive_is_looked_at() {
    let folder = Folder::new();
    let contents = [entry("net/data.pkl"), vec![0; 300_000], listed("net/constants.pkl")].concat();
    let text = text(&TensorFile::open(folder.file(&contents)).unwrap_err());
    assert!(text.contains("TorchScript"), "{text}");
}
