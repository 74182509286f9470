//! Programs in C and C++ over the libraries: compiled without a warning, run, and run under valgrind without a leak.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Link, compile, expect_success, have, libraries, program, run, skip};
use elman::{Gru, LayerKind, Lstm, Model, ModelSpec, RecurrentSpec, Rng, Stream};

/// The arguments of `api`: models, an input, and the bits that a stream gives for it.
fn api_arguments(folder: &Path) -> Vec<PathBuf> {
    let mut rng = Rng::new(1);
    let mut model = Lstm::builder(2, 20).num_layers(2).linear("fc", 3).model(&mut rng).unwrap();
    for (key, value) in [("sample_rate", "48000"), ("input_level_dbu", "18.25"), ("loudness", "high"), ("made by", "ä")]
    {
        model.set_metadata(key, value).unwrap();
    }
    let embedding = ModelSpec::new(1)
        .layer("e", LayerKind::embedding(7, 4))
        .layer("gru", RecurrentSpec::gru([5]))
        .layer("fc", LayerKind::linear(1));
    let embedding = Model::init(embedding, &mut rng).unwrap();
    let reverse = Gru::builder(2, 4).bidirectional(true).model(&mut rng).unwrap();
    let x: Vec<f32> = (0..200).map(|_| rng.uniform(-1.0, 1.0)).collect();
    let mut y = vec![0.0; 300];
    let path = |name: &str| folder.join(name);
    model.save(path("model.safetensors")).unwrap();
    embedding.save(path("embedding.safetensors")).unwrap();
    reverse.save(path("reverse.safetensors")).unwrap();
    Stream::new(model).unwrap().block(&x, &mut y).unwrap();
    for (name, numbers) in [("x", &x), ("y", &y)] {
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_ne_bytes()).collect();
        fs::write(path(name), bytes).unwrap();
    }
    ["model.safetensors", "x", "y", "embedding.safetensors", "reverse.safetensors"].map(path).into()
}

#[test]
fn every_call_does_what_the_header_says() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = api_arguments(folder.path());
    for link in [Link::Static, Link::Shared] {
        for (source, compiler) in [("api.c", "cc"), ("api.cpp", "c++")] {
            let binary = folder.path().join(format!("{source}-{link:?}"));
            compile(compiler, &format!("tests/c/{source}"), link, &[], &binary);
            expect_success(&run(program(&binary).args(&arguments)), source);
        }
    }
    // Leaks, reads of freed memory, of memory that nobody wrote.
    for source in ["api.c-Static", "api.cpp-Static"] {
        if !have("valgrind") {
            skip("valgrind is not there: the address sanitizer looks for leaks");
            break;
        }
        let mut valgrind = program(Path::new("valgrind"));
        valgrind.args([
            "--quiet",
            "--error-exitcode=9",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite,indirect",
        ]);
        // It does not know AVX-512, whose bits are those of AVX2.
        let forced = std::env::var("ELMAN_ISA").is_ok_and(|isa| isa == "portable");
        let isa = if is_avx2() && !forced { "avx2" } else { "portable" };
        valgrind.arg(folder.path().join(source)).args(&arguments).env("ELMAN_ISA", isa);
        expect_success(&run(&mut valgrind), &format!("valgrind {source}"));
    }
    if !have("valgrind") {
        let binary = folder.path().join("sanitized");
        compile(
            "cc",
            "tests/c/api.c",
            Link::Static,
            &["-fsanitize=address,undefined", "-fno-sanitize-recover"],
            &binary,
        );
        expect_success(&run(program(&binary).args(&arguments)), "with the address sanitizer");
    }
}

fn is_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// A host's mode does not change a bit, and comes back.
#[test]
fn a_host_that_flushes_denormals_gets_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("mode");
    compile("cc", "tests/c/mode.c", Link::Static, &[], &binary);
    let cells = [RecurrentSpec::rnn([16]), RecurrentSpec::gru([16]), RecurrentSpec::lstm([16])];
    for cell in cells {
        let model = Model::init(ModelSpec::new(1).layer("", cell.bias(false)), &mut Rng::new(1)).unwrap();
        let path = folder.path().join("model.safetensors");
        model.save(&path).unwrap();
        let output = |mode: &str| {
            let output = run(program(&binary).arg(&path).arg(mode));
            expect_success(&output, mode);
            String::from_utf8(output.stdout).unwrap()
        };
        let plain = output("default");
        let numbers = plain.lines().map(|line| f32::from_bits(u32::from_str_radix(line, 16).unwrap()));
        let subnormal = numbers.filter(|x| x.is_subnormal()).count();
        assert!(subnormal >= 100, "{subnormal} subnormal states: {}", model.spec());
        assert!(output("flush") == plain, "{}", model.spec());
    }
}

#[test]
fn steps_make_no_system_call_and_no_page_fault() {
    let folder = tempfile::tempdir().unwrap();
    let [binary, model, log] = ["realtime", "model.safetensors", "log"].map(|name| folder.path().join(name));
    Lstm::builder(1, 16).num_layers(2).linear("fc", 1).model(&mut Rng::new(1)).unwrap().save(&model).unwrap();
    for link in [Link::Static, Link::Shared] {
        compile("cc", "tests/c/realtime.c", link, &[], &binary);
        expect_success(&run(program(&binary).arg(&model)), "page faults");
        if !have("strace") {
            skip("strace is not there: system calls are not looked for");
            continue;
        }
        let mut strace = program(Path::new("strace"));
        strace.arg("-f").arg("-o").arg(&log).arg(&binary).arg(&model);
        let output = run(&mut strace);
        let lines = fs::read_to_string(&log).unwrap_or_default();
        if lines.is_empty() {
            skip(&format!("strace may not trace here: {}", String::from_utf8_lossy(&output.stderr).trim()));
            continue;
        }
        expect_success(&output, "under strace");
        let lines: Vec<_> = lines.lines().collect();
        let marks: Vec<_> = (0..lines.len()).filter(|&at| lines[at].contains("getppid()")).collect();
        let &[first, last] = &marks[..] else { panic!("expected two marks in {lines:#?}") };
        assert_eq!(last, first + 1, "system calls between the first step and the last: {:#?}", &lines[first..=last]);
    }
}

/// The example plays what a stream of the same model gives, rounded to 16 bits.
#[test]
fn the_amplifier_plays() {
    let folder = tempfile::tempdir().unwrap();
    let [binary, dry, wet] = ["amp", "dry.wav", "wet.wav"].map(|name| folder.path().join(name));
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/amp.safetensors");
    compile("cc", "examples/amp.c", Link::Static, &[], &binary);
    let output = run(program(&binary).args([&model, &dry, &wet]));
    expect_success(&output, "amp");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with("5.00 s of sound in ") && told.contains(" times as fast as real time, "), "{told}");

    let samples = |path: &Path| -> Vec<i16> {
        let bytes = fs::read(path).unwrap();
        bytes[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    };
    let (dry, wet) = (samples(&dry), samples(&wet));
    let mut stream = Stream::new(Model::open(&model).unwrap()).unwrap();
    let mut y = [0.0];
    let mut loudest = 0;
    for (x, &wet) in dry.iter().zip(&wet) {
        stream.step(&[f32::from(*x) / 32768.0], &mut y).unwrap();
        let expected = (y[0].clamp(-1.0, 1.0) * 32767.0).round_ties_even() as i16;
        assert_eq!(wet, expected);
        loudest = loudest.max(expected.abs());
    }
    assert_eq!((dry.len(), wet.len()), (240_000, 240_000));
    assert!(loudest > 8000, "{loudest}");

    let wet_path = folder.path().join("wet.wav");
    let refused = run(program(&binary).args([&model, &model, &wet_path]));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && text.ends_with("expected a WAV file\n"), "{text}");
}

/// `find_package(elman)` finds the headers and both libraries.
#[test]
fn cmake_finds_the_library() {
    if !have("cmake") {
        skip("cmake is not there");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = format!(
        "cmake_minimum_required(VERSION 3.13)\nproject(client C)\n\
         find_package(elman REQUIRED PATHS {0}/cmake NO_DEFAULT_PATH)\n\
         foreach(target elman elman-shared)\n\
         add_executable(client-${{target}} {0}/examples/amp.c)\n\
         target_link_libraries(client-${{target}} PRIVATE elman::${{target}} m)\nendforeach()\n",
        here.display()
    );
    fs::write(folder.path().join("CMakeLists.txt"), project).unwrap();
    let build = folder.path().join("build");
    let mut configure = program(Path::new("cmake"));
    configure.arg("-S").arg(folder.path()).arg("-B").arg(&build);
    configure.arg(format!("-DELMAN_LIBRARY_DIR={}", libraries().display()));
    expect_success(&run(&mut configure), "cmake");
    expect_success(&run(program(Path::new("cmake")).arg("--build").arg(&build)), "cmake --build");
    for target in ["elman", "elman-shared"] {
        let output = run(&mut program(&build.join(format!("client-{target}"))));
        assert_eq!(output.status.code(), Some(2), "it asks for its arguments: {output:?}");
    }
}
