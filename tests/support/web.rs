//! Web servers: nginx, and wsgidav for WebDAV.

use super::programs::program;
use super::servers::Server;
use std::path::Path;

/// Starts a WebDAV server over a directory, for one user.
pub fn dav(root: &Path) -> Server {
    Server::start("wsgidav", |port, dir| {
        let config = format!(
            "host: 127.0.0.1\nport: {port}\nverbose: 0\nprovider_mapping: {{'/': '{}'}}\n\
             http_authenticator: {{accept_basic: true, accept_digest: false, default_to_digest: false}}\n\
             simple_dc: {{user_mapping: {{'*': {{replica: {{password: 'p@ss'}}}}}}}}\n",
            root.display()
        );
        std::fs::write(Path::new(dir).join("config.yaml"), config).expect("a file is written");
        vec!["--config".to_owned(), format!("{dir}/config.yaml")]
    })
}

/// Starts nginx as a WebDAV server to which Litestream can write.
pub fn nginx_dav(root: &Path, passwords: &Path) -> Server {
    start_nginx_dav(root, passwords, ["", "", ""])
}

/// Starts nginx as a WebDAV server with locks and several processes.
pub fn nginx_dav_with_locks(root: &Path, passwords: &Path) -> Server {
    start_nginx_dav(root, passwords, ["worker_processes 4;", "dav_ext_lock_zone zone=locks:1m;", "LOCK UNLOCK"])
}

fn start_nginx_dav(root: &Path, passwords: &Path, [processes, zone, locks]: [&str; 3]) -> Server {
    std::fs::write(passwords, "replica:{PLAIN}p@ss\n").expect("a file is written");
    let lock = if locks.is_empty() { "" } else { "dav_ext_lock zone=locks;" };
    let settings = format!(
        "dav_methods PUT DELETE MKCOL COPY MOVE; dav_ext_methods PROPFIND OPTIONS {locks}; {lock} client_max_body_size 0; \
         auth_basic replicas; auth_basic_user_file {};",
        passwords.display()
    );
    let modules = format!("load_module {}; {processes}", program("ngx_http_dav_ext_module.so").display());
    start_nginx(root, &modules, zone, "", &settings)
}

/// Starts a web server over a directory.
pub fn nginx(root: &Path, settings: &str) -> Server {
    nginx_with(root, "", "", settings)
}

/// The format of the request log.
const WIRE: &str = "log_format wire '$request_method|$uri|$http_cache_control|$http_if_match|$status';";

/// Starts a cache in front of another server. It keeps every response unless the request has `Cache-Control`.
pub fn nginx_cache(before: &Server, root: &Path, log: &Path) -> Server {
    let port = before.port;
    nginx(
        root,
        &format!(
            "access_log {} wire; location / {{ proxy_pass http://127.0.0.1:{port}; proxy_cache cache; \
             proxy_cache_valid any 1h; proxy_cache_bypass $http_cache_control; }}",
            log.display()
        ),
    )
}

/// Starts nginx with modules, parameters of `listen`, and settings of the server.
pub fn nginx_with(root: &Path, modules: &str, listen: &str, settings: &str) -> Server {
    start_nginx(root, modules, "", listen, settings)
}

fn start_nginx(root: &Path, modules: &str, zones: &str, listen: &str, settings: &str) -> Server {
    Server::start("nginx", |port, dir| {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|kind| format!("{kind}_temp_path {dir}/{kind}; ")).concat();
        let config = format!(
            "{modules} daemon off; pid {dir}/pid; user root; events {{}} http {{ access_log off; {temporary} {WIRE} \
             proxy_cache_path {dir}/cache keys_zone=cache:1m; {zones} \
             server {{ listen 127.0.0.1:{port} {listen}; root {}; {settings} }} }}",
            root.display()
        );
        std::fs::write(Path::new(dir).join("config"), config).expect("a file is written");
        ["-e", "stderr", "-p", dir, "-c", &format!("{dir}/config")].map(str::to_owned).to_vec()
    })
}
