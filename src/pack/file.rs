//! The files of a pack, as its manifest declares them.

use super::Checked;
use serde::Deserialize;

/// Stands for a digest that the author does not publish. Such a file is used after its digest was pinned on this
/// machine.
pub const UNVERIFIED: &str = "unverified";

/// One file of a pack.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// File name, without a folder.
    pub name: String,
    /// Size, bytes; optional if `sha256` is "unverified".
    pub size: Option<u64>,
    /// SHA-256, 64 lower-case hexadecimal digits, or "unverified".
    pub sha256: String,
    /// URLs of the file itself, https, in order of preference.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Name of the archive that holds it.
    pub archive: Option<String>,
    /// Path within that archive.
    pub member: Option<String>,
    /// The built-in pack that contains it.
    pub pack: Option<String>,
    /// SPDX identifier or name of its licence.
    pub licence: String,
    /// Whether that licence allows commercial use.
    pub commercial: bool,
    /// What the licence allows, in one sentence; required if it forbids commercial use.
    pub terms: Option<String>,
    /// Where the licence is stated.
    pub licence_source: String,
    /// Author, and where the file is published.
    pub source: String,
    /// Training data, as stated by its author.
    pub trained_on: String,
}

/// A zip archive that holds files of the pack.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveSpec {
    /// File name, without a folder.
    pub name: String,
    /// Size, bytes.
    pub size: u64,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// URLs, https, in order of preference.
    pub urls: Vec<String>,
}

impl FileSpec {
    /// Whether no digest of this file is known.
    pub fn unverified(&self) -> bool {
        self.sha256 == UNVERIFIED
    }

    pub(super) fn check(&self, archives: &[ArchiveSpec]) -> Checked {
        let name = &self.name;
        check_name("file name", name)?;
        check_urls(name, &self.urls)?;
        if !self.unverified() {
            check_digest(name, &self.sha256)?;
            if self.size.is_none() {
                return Err(format!("file {name:?} needs its size, because its sha256 is known"));
            }
        }
        if !self.commercial && self.terms.is_none() {
            return Err(format!("file {name:?} needs terms: what its licence allows, in one sentence"));
        }
        match (&self.archive, &self.member) {
            (None, None) => {}
            (Some(archive), Some(_)) if archives.iter().any(|other| other.name == *archive) => {}
            (Some(archive), Some(_)) => {
                return Err(format!("file {name:?} is in archive {archive:?}, which no [[archive]] declares"));
            }
            _ => return Err(format!("file {name:?} needs both archive and member, or neither")),
        }
        if let Some(pack) = &self.pack {
            check_name("pack name", pack)?;
            if self.archive.is_some() || !self.urls.is_empty() {
                return Err(format!("file {name:?} comes with pack {pack:?} and must have no urls and no archive"));
            }
        }
        Ok(())
    }
}

impl ArchiveSpec {
    pub(super) fn check(&self) -> Checked {
        check_name("file name", &self.name)?;
        check_urls(&self.name, &self.urls)?;
        check_digest(&self.name, &self.sha256)
    }
}

/// Longest name of a pack or of a file of one, bytes.
const NAME_LIMIT: usize = 200;

/// Return whether a text is a valid name of a pack or of a file in one: it names no other folder on any system, is not
/// hidden (our own records and partial downloads are), and does not end like a manifest, which is opened as a path.
pub fn is_plain_name(name: &str) -> bool {
    let plain = (1..=NAME_LIMIT).contains(&name.len());
    let plain = plain && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c));
    plain && !name.starts_with('.') && !name.ends_with('.') && !name.to_ascii_lowercase().ends_with(".toml")
}

/// Refuse an invalid name; the error begins with `what`.
pub(super) fn check_name(what: &str, name: &str) -> Checked {
    if is_plain_name(name) {
        return Ok(());
    }
    Err(format!(
        "{what} {name:?} must be 1 to {NAME_LIMIT} letters, digits, '_', '-', '+' and '.', without a folder, '.' at either end \
         or .toml"
    ))
}

fn check_digest(name: &str, sha256: &str) -> Checked {
    if sha256.len() == 64 && sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    Err(format!("sha256 of {name:?} must be 64 lower-case hexadecimal digits, or {UNVERIFIED:?} for a file"))
}

fn check_urls(name: &str, urls: &[String]) -> Checked {
    match urls.iter().find(|url| !url.starts_with("https://") || url.contains(char::is_whitespace)) {
        Some(url) => Err(format!("url {url:?} of {name:?} must begin with https:// and have no spaces")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Result;
    use crate::pack::Pack;
    use std::path::Path;

    fn refused(changes: &str) -> String {
        let text = format!(
            "format = 1\nname = \"p\"\nsummary = \"s\"\n{changes}\n[[file]]\nname = \"a.onnx\"\nlicence = \"MIT\"\n\
             licence_source = \"x\"\nsource = \"x\"\ntrained_on = \"x\"\n"
        );
        Pack::parse(&text, Path::new("p.toml")).unwrap_err().to_string()
    }

    fn parse(file: &str) -> Result<Pack> {
        let text = format!(
            "format = 1\nname = \"p\"\nsummary = \"s\"\n[[archive]]\nname = \"z.zip\"\nsize = 9\nsha256 = \"{}\"\n\
             urls = [\"https://example.org/z.zip\"]\n[[file]]\nlicence = \"MIT\"\nlicence_source = \"x\"\n\
             source = \"x\"\ntrained_on = \"x\"\n{file}\n",
            "0".repeat(64)
        );
        Pack::parse(&text, Path::new("p.toml"))
    }

    #[test]
    fn a_file_can_be_declared_in_five_ways() {
        let digest = format!("sha256 = \"{}\"", "a".repeat(64));
        for file in [
            format!("name = \"a.onnx\"\nsize = 1\ncommercial = true\n{digest}"),
            format!("name = \"a.onnx\"\nsize = 1\ncommercial = true\n{digest}\nurls = [\"https://example.org/a\"]"),
            format!(
                "name = \"a.onnx\"\nsize = 1\ncommercial = true\n{digest}\narchive = \"z.zip\"\nmember = \"d/a.onnx\""
            ),
            format!("name = \"a.onnx\"\nsize = 1\ncommercial = true\n{digest}\npack = \"classic\""),
            "name = \"a.onnx\"\ncommercial = false\nterms = \"t\"\nsha256 = \"unverified\"".to_string(),
        ] {
            parse(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
    }

    #[test]
    fn invalid_files_are_refused() {
        let digest = format!("sha256 = \"{}\"", "a".repeat(64));
        for (file, words) in [
            (format!("name = \"../a\"\nsize = 1\ncommercial = true\n{digest}"), "without a folder"),
            (format!("name = \".a\"\nsize = 1\ncommercial = true\n{digest}"), "'.' at either end"),
            (format!("name = \"a\"\ncommercial = true\n{digest}"), "needs its size"),
            (format!("name = \"a\"\nsize = 1\ncommercial = false\n{digest}"), "needs terms"),
            (format!("name = \"a\"\nsize = 1\ncommercial = true\n{digest}\nurls = [\"http://x\"]"), "https://"),
            (
                format!("name = \"a\"\nsize = 1\ncommercial = true\n{digest}\narchive = \"z.zip\""),
                "both archive and member",
            ),
            (
                format!("name = \"a\"\nsize = 1\ncommercial = true\n{digest}\narchive = \"y\"\nmember = \"a\""),
                "[[archive]]",
            ),
            (
                format!("name = \"a\"\nsize = 1\ncommercial = true\n{digest}\npack = \"p\"\nurls = [\"https://x\"]"),
                "no urls",
            ),
            ("name = \"a\"\nsize = 1\ncommercial = true\nsha256 = \"00\"".to_string(), "64 lower-case"),
        ] {
            let message = parse(&file).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn errors_of_unknown_keys_and_missing_fields_name_the_line() {
        assert!(refused("color = 1").contains("line 4"), "{}", refused("color = 1"));
        assert!(refused("").contains("line 5"), "{}", refused(""));
    }
}
