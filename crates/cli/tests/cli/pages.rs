//! The manual pages and the completions.

use crate::support::programs::run;
use crate::support::{LIMIT, ended, printed};
use std::fs;
use std::process::Command;

const COMMANDS: [&str; 10] =
    ["sql", "history", "status", "changes", "diff", "undo", "verify", "export", "hydrate", "shell"];

#[test]
fn the_manual_pages_describe_every_command() {
    let dir = tempfile::tempdir().expect("a directory");
    let page = printed(&["man"]);
    assert!(page.contains(".TH litestream-query 1"), "{page}");
    assert_eq!(printed(&["man", dir.path().to_str().expect("text")]), "");
    for command in COMMANDS {
        assert!(page.contains(&format!("litestream\\-query\\-{command}(1)")), "{command}: {page}");
        let page = fs::read_to_string(dir.path().join(format!("litestream-query-{command}.1"))).expect("a page");
        assert!(page.contains("URL of the replica"), "{page}");
    }
    let main = fs::read_to_string(dir.path().join("litestream-query.1")).expect("a page");
    assert!(main.contains("Exit codes:") && main.contains("130"), "{main}");
}

#[test]
fn the_completions_of_each_shell_know_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn bash_completes_a_command() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = dir.path().join("completions");
    fs::write(&script, printed(&["completions", "bash"])).expect("a file is written");
    let complete = "source \"$0\"; COMP_WORDS=(litestream-query ver); COMP_CWORD=1; \
                    function=$(complete -p litestream-query | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
                    \"$function\" litestream-query ver litestream-query; echo \"${COMPREPLY[@]}\"";
    let completed = run(Command::new("bash").args(["-c", complete]).arg(&script), LIMIT);
    assert_eq!((completed.stdout.as_str(), completed.status.code()), ("verify\n", Some(0)), "{completed:?}");
}

#[test]
fn help_and_version_are_printed() {
    assert_eq!(printed(&["--version"]), format!("litestream-query {}\n", env!("CARGO_PKG_VERSION")));
    let help = printed(&["--help"]);
    assert!(COMMANDS.iter().all(|command| help.contains(command)), "{help}");
    assert_eq!(ended(&[]).status.code(), Some(2));
}
