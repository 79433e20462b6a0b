//! Progress bars on a terminal.

use crate::support::replica::Replica;
use crate::support::store::Store;
use crate::support::{LIMIT, query};
use rexpect::session::spawn_command;

#[test]
fn export_and_verify_show_a_bar_until_they_end() {
    let replica = Replica::big();
    let file = replica.argument("copy.db");
    for (command, bar, end) in [("export", "exporting [", "copy.db: "), ("verify", "verifying [", ", none damaged")] {
        let store = Store::start(&replica.path("replica"), 1 << 20);
        let arguments: Vec<&str> = if command == "export" { vec![file.as_str()] } else { Vec::new() };
        let mut program = query(&[&[command, store.url().as_str()], &arguments[..]].concat());
        store.credentials(&mut program).env("TERM", "xterm");
        let mut terminal = spawn_command(program, u64::try_from(LIMIT.as_millis()).ok()).expect("it starts");
        terminal.exp_string(bar).unwrap_or_else(|error| panic!("{command}: {error}"));
        store.open();
        terminal.exp_string(end).unwrap_or_else(|error| panic!("{command}: {error}"));
        terminal.exp_eof().expect("it ends");
    }
}
