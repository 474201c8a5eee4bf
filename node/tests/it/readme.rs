//! What the documents say is so.

use std::path::Path;

use crate::support::dev::herald;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)).unwrap()
}

#[test]
fn every_command_of_the_readme_is_one_of_the_program() {
    let readme = read("README.md");
    let help = String::from_utf8(herald(&["--help"]).stdout).unwrap();
    let commands: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `herald "))
        .filter_map(|rest| rest.split(['`', ' ']).next())
        .collect();
    assert!(commands.len() >= 7, "{commands:?}");
    for command in commands {
        assert!(help.contains(&format!("  {command} ")), "{command} is not in:\n{help}");
    }
    let makefile = read("Makefile");
    for target in ["run", "test", "check"] {
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
}

#[test]
fn the_configuration_in_the_readme_is_good() {
    let readme = read("README.md");
    let examples: Vec<&str> = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 2);
    let example = examples.concat();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a secret that is at least as long as a key has to be\n").unwrap();
    let file = folder.path().join("herald.toml");
    std::fs::write(&file, example.replace("/run/secrets/herald-jwt", secret.to_str().unwrap())).unwrap();
    let output = herald(&["check-config", "--config", file.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn links_and_files_that_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for document in ["README.md", "node/README.md", "migrations/README.md"] {
        let text = read(document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = root.join(document).parent().unwrap().join(link);
            assert!(link.starts_with("http") || target.exists(), "{document} links to {link}");
        }
    }
}

#[test]
fn every_setting_is_in_the_table_of_limits() {
    let readme = read("README.md");
    let missing: Vec<&str> = herald_node::domain::settings::NAMES
        .into_iter()
        .filter(|name| !readme.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
