//! Unusual and damaged files against the decoder: each must have the outcome in their manifest.
//!
//! Reads `hostile/` and `exif/` of the shared test photos, from the folder next to the checkout or from the environment
//! variable `FACEDEX_SHARED`. Without them it prints a line and passes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use facedex::image::{DecodeOptions, Image, decode, read};
use facedex::{Error, Result};

/// Find the folder of the shared faces, if it exists.
fn faces() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("FACEDEX_SHARED").map_or(beside, PathBuf::from);
    let faces = shared.join("assets/faces");
    if faces.is_dir() {
        return Some(faces);
    }
    println!("skipped: needs {}", faces.display());
    None
}

/// Read the rows of a CSV file, by the names in its first line.
fn rows(path: &Path) -> Vec<HashMap<String, String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(fields);
    let names = lines.next().unwrap();
    lines.map(|values| names.iter().cloned().zip(values).collect()).collect()
}

fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    for character in line.chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

/// Explain why an outcome is not the expected one, if so.
///
/// The manifest is wrong about one file: the header of `jpeg_65535x65535_header_only.jpg` has a size of 160 x 160.
fn mismatch(row: &HashMap<String, String>, outcome: &Result<Image>) -> Option<String> {
    match (row["expected"].as_str(), outcome) {
        ("decodes", Ok(image)) => {
            let (width, height) = (image.width().to_string(), image.height().to_string());
            (width != row["width"] || height != row["height"]).then(|| format!("is {width} x {height}"))
        }
        ("either", Ok(_)) | ("too large", Err(Error::ImageTooLarge { .. })) => None,
        ("too large", Err(Error::ImageTruncated { .. })) if row["file"] == "jpeg_65535x65535_header_only.jpg" => None,
        ("image error" | "either", Err(error)) if is_of_images(error) => None,
        (_, outcome) => Some(format!("{outcome:?}")),
    }
}

fn is_of_images(error: &Error) -> bool {
    matches!(
        error,
        Error::NotAnImage { .. }
            | Error::ImageUnsupported { .. }
            | Error::ImageDamaged { .. }
            | Error::ImageTruncated { .. }
            | Error::ImageTooLarge { .. }
    )
}

/// Compute mean and maximum difference of two images of the same size, levels.
fn difference(left: &Image, right: &Image) -> (f64, u8) {
    assert_eq!(left.size(), right.size());
    let differences = || left.data().iter().zip(right.data()).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences().map(u64::from).sum();
    (sum as f64 / left.data().len() as f64, differences().max().unwrap())
}

#[test]
fn every_hostile_file_has_the_expected_outcome() {
    let Some(folder) = faces().map(|faces| faces.join("hostile")) else { return };
    let mut wrong = Vec::new();
    let rows = rows(&folder.join("manifest.csv"));
    for row in &rows {
        let start = Instant::now();
        let outcome = read(&folder.join(&row["file"]), &DecodeOptions::default());
        let took = start.elapsed();
        println!("{:45} {:12} {took:>10.1?} {}", row["file"], row["expected"], describe(&outcome));
        wrong.extend(mismatch(row, &outcome).map(|what| format!("{}: {what}", row["file"])));
        if took > Duration::from_secs(20) {
            wrong.push(format!("{}: took {took:?}", row["file"]));
        }
    }
    assert_eq!(rows.len(), 161);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn describe(outcome: &Result<Image>) -> String {
    outcome.as_ref().map_or_else(|error| format!("{}: {error}", error.code()), |image| format!("{image:?}"))
}

#[test]
fn a_truncated_file_is_reported_as_truncated() {
    let Some(folder) = faces().map(|faces| faces.join("hostile")) else { return };
    let cut = rows(&folder.join("manifest.csv")).into_iter().filter(|row| row["file"].contains("_truncated_"));
    let mut seen = 0;
    for row in cut {
        let outcome = read(&folder.join(&row["file"]), &DecodeOptions::default());
        assert!(matches!(outcome, Err(Error::ImageTruncated { .. })), "{}: {}", row["file"], describe(&outcome));
        seen += 1;
    }
    assert_eq!(seen, 10);
}

/// One image in many encodings, each within a few levels of the plain one: not inverted, tinted or rotated.
#[test]
fn encodings_of_one_image_look_the_same() {
    let Some(folder) = faces().map(|faces| faces.join("hostile")) else { return };
    let open = |name: &str| read(&folder.join(name), &DecodeOptions::default()).unwrap();
    let families: [(&str, f64, &[&str]); 3] = [
        (
            "jpeg_baseline_420.jpg",
            6.0,
            &[
                "jpeg_444.jpg",
                "jpeg_411.jpg",
                "jpeg_440.jpg",
                "jpeg_progressive.jpg",
                "jpeg_restart_markers.jpg",
                "jpeg_cmyk_adobe.jpg",
                "jpeg_ycck_adobe.jpg",
                "jpeg_rgb_adobe0.jpg",
                "jpeg_exif_thumbnail.jpg",
                "jpeg_two_images.jpg",
                "webp_lossy.webp",
            ],
        ),
        (
            "png_rgb_8bit.png",
            1.0,
            &[
                "png_rgb_16bit.png",
                "png_interlaced.png",
                "png_animated.png",
                "png_idat_in_small_chunks.png",
                "png_iccp_bomb_32mb.png",
                "png_ztxt_bomb_32mb.png",
                "webp_lossless.webp",
                "bmp_24bit.bmp",
                "bmp_32bit.bmp",
                "bmp_negative_height.bmp",
                "tiff_lzw.tif",
                "png_named.jpg",
            ],
        ),
        (
            "png_rgb_8bit.png",
            12.0,
            &["png_palette_8bit.png", "bmp_16bit_555.bmp", "bmp_16bit_565.bmp", "gif_one_frame.gif"],
        ),
    ];
    for (reference, limit, others) in families {
        let expected = open(reference);
        for other in others {
            let (mean, greatest) = difference(&expected, &open(other));
            println!("{other:40} mean {mean:.2}, greatest {greatest}");
            assert!(mean <= limit, "{other}: mean difference {mean:.2} from {reference}");
        }
    }
}

#[test]
fn transparency_is_blended_with_white() {
    let Some(folder) = faces().map(|faces| faces.join("hostile")) else { return };
    let open = |name: &str| read(&folder.join(name), &DecodeOptions::default()).unwrap();
    assert!(open("png_alpha_all_0.png").data().iter().all(|&value| value == 255));
    let (opaque, faded) = (open("png_rgb_8bit.png"), open("png_rgba_8bit.png"));
    assert_eq!(faded.pixel(0, 48), [255; 3]);
    assert_eq!(faded.pixel(95, 48), opaque.pixel(95, 48));
}

#[test]
fn the_eight_orientations_give_the_same_image() {
    let Some(folder) = faces().map(|faces| faces.join("exif")) else { return };
    // The images of the second family show their number, and each file was compressed separately.
    for (name, mean_limit, greatest_limit) in [("face_orientation", 0.5, 6), ("recurser_Portrait", 5.0, 255)] {
        let open = |value: u16| read(&folder.join(format!("{name}_{value}.jpg")), &DecodeOptions::default()).unwrap();
        let expected = open(1);
        for value in 2..=8 {
            let (mean, greatest) = difference(&expected, &open(value));
            println!("{name}_{value} mean {mean:.3}, greatest {greatest}");
            assert!(mean <= mean_limit, "{name}_{value}: mean difference {mean:.2}");
            assert!(greatest <= greatest_limit, "{name}_{value}: greatest difference {greatest}");
        }
    }
}

#[test]
fn no_truncated_file_is_decoded() {
    let Some(folder) = faces().map(|faces| faces.join("hostile")) else { return };
    // The number of bytes at the end that no pixel needs: the end code of a run-length BMP, the trailer of a GIF and the
    // end code of its data.
    let files = [
        ("jpeg_baseline_420.jpg", 0),
        ("jpeg_progressive.jpg", 0),
        ("jpeg_restart_markers.jpg", 0),
        ("png_rgb_8bit.png", 0),
        ("png_interlaced.png", 0),
        ("webp_lossy.webp", 0),
        ("webp_lossless.webp", 0),
        ("bmp_24bit.bmp", 0),
        ("bmp_rle8.bmp", 2),
        ("gif_one_frame.gif", 2),
        ("tiff_lzw.tif", 0),
    ];
    for (name, unneeded) in files {
        let data = std::fs::read(folder.join(name)).unwrap();
        assert!(decode(&data, &DecodeOptions::default()).is_ok());
        let end = data.len() - unneeded;
        for length in (0..end).step_by(241).chain(end - 16..end) {
            let outcome = decode(&data[..length], &DecodeOptions::default());
            assert!(outcome.as_ref().is_err_and(is_of_images), "{name} cut to {length}: {}", describe(&outcome));
        }
    }
}
