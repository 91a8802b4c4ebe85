//! The files of a pack, as its manifest declares them.

use super::Refusal;
use serde::Deserialize;

/// In place of a digest where none is published: such a file is used once its digest was pinned on this machine.
pub const UNVERIFIED: &str = "unverified";

/// One file of a pack.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// File name, without a folder.
    pub name: String,
    /// Size, bytes; may be absent where `sha256` is "unverified".
    pub size: Option<u64>,
    /// SHA-256, 64 lower-case hexadecimal digits, or "unverified".
    pub sha256: String,
    /// Addresses of the file itself, https, in order of preference.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Name of the archive that holds it.
    pub archive: Option<String>,
    /// Its path within that archive.
    pub member: Option<String>,
    /// The built-in pack that brings it.
    pub pack: Option<String>,
    /// SPDX identifier or name of its licence.
    pub licence: String,
    /// Whether that licence allows commercial use.
    pub commercial: bool,
    /// What the licence allows, in one sentence; needed where it forbids commercial use.
    pub terms: Option<String>,
    /// Where the licence is stated.
    pub licence_source: String,
    /// Who made the file, and where it is published.
    pub source: String,
    /// What it was trained on, as its author states it.
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
    /// Its addresses, https, in order of preference.
    pub urls: Vec<String>,
}

impl FileSpec {
    /// Whether no digest of this file is known.
    pub fn unverified(&self) -> bool {
        self.sha256 == UNVERIFIED
    }

    pub(super) fn check(&self, archives: &[ArchiveSpec]) -> Refusal {
        let name = &self.name;
        check_name("file name", name)?;
        check_urls(name, &self.urls)?;
        if !self.unverified() {
            check_digest(name, &self.sha256)?;
            if self.size.is_none() {
                return Err(format!("file {name:?} needs its size, for its sha256 is known"));
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
                return Err(format!("file {name:?} comes with pack {pack:?} and needs no urls and no archive"));
            }
        }
        Ok(())
    }
}

impl ArchiveSpec {
    pub(super) fn check(&self) -> Refusal {
        check_name("file name", &self.name)?;
        check_urls(&self.name, &self.urls)?;
        check_digest(&self.name, &self.sha256)
    }
}

/// Longest name of a pack or of a file of one, bytes.
const NAME_LIMIT: usize = 200;

/// Whether a text is a name of a pack or of a file of one: it stays in its folder on every system, is not hidden, as our own
/// records and unfinished downloads are, and does not end as a manifest does, which is opened as a path.
pub fn is_plain_name(name: &str) -> bool {
    let plain = (1..=NAME_LIMIT).contains(&name.len());
    let plain = plain && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c));
    plain && !name.starts_with('.') && !name.ends_with('.') && !name.to_ascii_lowercase().ends_with(".toml")
}

/// Refuses a name that is not plain; `what` is named.
pub(super) fn check_name(what: &str, name: &str) -> Refusal {
    if is_plain_name(name) {
        return Ok(());
    }
    Err(format!(
        "{what} {name:?} must be 1 to {NAME_LIMIT} letters, digits, '_', '-', '+' and '.', without a folder, '.' at an end \
         or .toml"
    ))
}

fn check_digest(name: &str, sha256: &str) -> Refusal {
    if sha256.len() == 64 && sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    Err(format!("sha256 of {name:?} must be 64 lower-case hexadecimal digits, or {UNVERIFIED:?} for a file"))
}

fn check_urls(name: &str, urls: &[String]) -> Refusal {
    match urls.iter().find(|url| !url.starts_with("https://") || url.contains(char::is_whitespace)) {
        Some(url) => Err(format!("address {url:?} of {name:?} must begin with https:// and have no spaces")),
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
    fn a_file_is_declared_in_five_ways() {
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
    fn what_is_wrong_is_told() {
        let digest = format!("sha256 = \"{}\"", "a".repeat(64));
        for (file, words) in [
            (format!("name = \"../a\"\nsize = 1\ncommercial = true\n{digest}"), "without a folder"),
            (format!("name = \".a\"\nsize = 1\ncommercial = true\n{digest}"), "'.' at an end"),
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
    fn an_unknown_key_and_a_missing_field_tell_their_line() {
        assert!(refused("color = 1").contains("line 4"), "{}", refused("color = 1"));
        assert!(refused("").contains("line 5"), "{}", refused(""));
    }
}
