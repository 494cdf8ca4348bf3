//! Settings that the daemon does not believe, and why it says so.

use tempfile::tempdir;

use crate::daemon::{command, write};

/// Exit code and stderr of a look at the settings.
fn check(text: &str, mode: u32, more: &[&str]) -> (Option<i32>, String) {
    let folder = tempdir().unwrap();
    let config = write(folder.path(), "bufwatch.toml", text, mode);
    let output = command(&config, &[&["--check-config"], more].concat()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn settings_that_are_fine_are_said_to_be() {
    let (code, said) = check("scan_every = \"2s\"\n", 0o644, &["--listen", "127.0.0.1:0"]);
    assert_eq!((code, said.as_str()), (Some(0), "the settings are fine\n"));
}

#[test]
fn what_is_wrong_is_named() {
    for (text, mode, more, word) in [
        ("scan_every = 1", 0o666, &[][..], "may be written by anybody"),
        ("[tracing]\nmin_sise = 1", 0o600, &[], "unknown field `min_sise`"),
        ("scan_every = \"often\"", 0o600, &[], "no duration"),
        ("scan_every = [", 0o600, &[], "is not as it should be"),
        ("listen = \"0.0.0.0:9478\"", 0o600, &[], "needs a token_file"),
        ("", 0o600, &["--listen", "[::]:9478"], "needs a token_file"),
        ("[recordings]\nwhen = \"sometimes\"", 0o600, &[], "unknown variant `sometimes`"),
        ("[recordings]\nkeep_before = \"10ms\"", 0o600, &[], "recordings.keep_before"),
        ("[recordings]\nkeep_after = \"25h\"", 0o600, &[], "at most 24h"),
        ("[events]\nwebhook = \"https://a/\"", 0o600, &[], "there is no TLS"),
        ("[events]\nwebhook_events = [\"finding\"]", 0o600, &[], "there is no event `finding`"),
        ("[otlp]\nevery = 0", 0o600, &[], "otlp.every"),
        ("[processes]\nmax = 100000", 0o600, &[], "processes.max"),
        ("[[processes.exclude]]\nname = \"a\"", 0o600, &[], "a rule must name"),
    ] {
        let (code, said) = check(text, mode, more);
        assert_eq!(code, Some(2), "{text}: {said}");
        assert!(said.contains(word) && said.contains("hint: "), "{text}: {said}");
    }
}

#[test]
fn a_file_that_is_not_there_is_said() {
    let output = command("/nowhere/at/all.toml".as_ref(), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`/nowhere/at/all.toml` could not be read"), "{said}");
}

#[test]
fn a_token_that_anybody_may_read_is_refused() {
    let folder = tempdir().unwrap();
    let token = write(folder.path(), "token", "0123456789abcdef", 0o644);
    let config = write(folder.path(), "bufwatch.toml", "", 0o600);
    let more = ["--listen", "127.0.0.1:0", "--token-file", token.to_str().unwrap()];
    let output = command(&config, &more).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("may be read by anybody"), "{said}");
}

#[test]
fn a_directory_that_others_write_to_is_refused() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempdir().unwrap();
    let open = folder.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let link = folder.path().join("link");
    symlink(folder.path(), &link).unwrap();
    for (directory, word) in [(&open, "may be written by others"), (&link, "symbolic link")] {
        let text = format!("[recordings]\ndirectory = \"{}\"\n", directory.display());
        let config = write(folder.path(), "bufwatch.toml", &text, 0o600);
        let output = command(&config, &["--listen", "127.0.0.1:0"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(word) && said.contains("hint: "), "{said}");
    }
}

/// The schema that editors check settings with knows the same keys as the program, with the same defaults.
#[test]
fn the_schema_knows_every_setting() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/bufwatch.schema.json");
    let schema: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let sections = schema["properties"].as_object().unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let mut n = 0;
    for (name, property) in sections {
        let Some(keys) = property["properties"].as_object() else { continue };
        assert_eq!(property["additionalProperties"], false, "{name}");
        for (key, value) in keys {
            let Some(default) = value.get("default") else { continue };
            let (code, said) = check(&format!("[{name}]\n{key} = {default}"), 0o600, &[]);
            assert_eq!(code, Some(0), "{name}.{key}: {said}");
            let (code, _) = check(&format!("[{name}]\n{key}_ = {default}"), 0o600, &[]);
            assert_eq!(code, Some(2), "{name}.{key}_");
            n += 1;
        }
    }
    assert!(n > 12, "{n} settings");
}
