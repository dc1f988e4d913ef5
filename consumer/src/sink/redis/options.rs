//! Flags that say how to reach Redis.

use super::servers::Servers;
use clap::Args;
use redis::{Client, ClientTlsConfig, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use std::path::{Path, PathBuf};

/// How to reach Redis. Secrets come from the environment or from files, where `ps` does not show them.
#[derive(Debug, Clone, Args)]
pub struct RedisOptions {
    /// Redis to keep the newest events and counters in; rediss:// is with TLS. Of a cluster some nodes, separated by
    /// commas: redis://node1:6379,node2:6379
    #[arg(
        long = "redis-url",
        env = "REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        value_name = "URL",
        hide_env_values = true
    )]
    redis_url: Url,

    /// Name of the master that Sentinels look after; then --redis-url names the Sentinels. Its login is the master's,
    /// and shown to Sentinels only if they ask for one; its TLS is both's
    #[arg(long = "redis-sentinel", env = "REDIS_SENTINEL", value_name = "MASTER")]
    redis_sentinel: Option<String>,

    /// File that holds the password to Redis
    #[arg(long = "redis-password-file", env = "REDIS_PASSWORD_FILE", value_name = "FILE")]
    redis_password_file: Option<PathBuf>,

    /// Certificates of the authorities to trust, in place of the system's, for rediss://
    #[arg(long = "redis-ca", env = "REDIS_CA", value_name = "FILE")]
    redis_ca: Option<PathBuf>,

    /// Certificate to show to Redis, for rediss://
    #[arg(long = "redis-cert", env = "REDIS_CERT", value_name = "FILE", requires = "redis_key")]
    redis_cert: Option<PathBuf>,

    /// Its private key
    #[arg(long = "redis-key", env = "REDIS_KEY", value_name = "FILE", requires = "redis_cert")]
    redis_key: Option<PathBuf>,
}

/// A URL that may hold a password, which nothing shows.
#[derive(Clone)]
struct Url(String);

impl From<String> for Url {
    fn from(url: String) -> Url {
        Url(url)
    }
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(URL)")
    }
}

impl RedisOptions {
    /// Where Redis is, not connected yet.
    ///
    /// # Errors
    /// One line that says what to change, never with the URL in it.
    pub fn servers(&self) -> Result<Servers, String> {
        let url = &self.redis_url.0;
        let shape = "--redis-url must look like redis://[user:password@]host:6379[,host:6379…][/db], with TLS \
                     rediss://…";
        let named = each(url).into_iter().map(|url| url.into_connection_info());
        let mut named: Vec<ConnectionInfo> = named.collect::<Result<_, _>>().map_err(|_| shape)?;
        if named.iter().any(|info| info.redis_settings().password().is_some()) && in_view(url) {
            return Err("--redis-url shows a password to everyone who may list processes: give the URL by \
                        REDIS_URL, or the password by --redis-password-file"
                .to_owned());
        }
        if let Some(file) = &self.redis_password_file {
            let password = read(file, "--redis-password-file")?;
            let password = String::from_utf8(password).map_err(|_| "--redis-password-file is not UTF-8")?;
            for info in &mut named {
                let settings =
                    info.redis_settings().clone().set_password(password.trim_end_matches(['\r', '\n']));
                *info = info.clone().set_redis_settings(settings);
            }
        }
        let tls = url.starts_with("rediss:");
        if !tls && (self.redis_ca.is_some() || self.redis_cert.is_some()) {
            return Err("--redis-ca and --redis-cert are for TLS: write --redis-url rediss://…".to_owned());
        }
        if tls {
            let of = |file: &Option<PathBuf>, flag| file.as_deref().map(|file| read(file, flag)).transpose();
            let certificates = TlsCertificates {
                client_tls: of(&self.redis_cert, "--redis-cert")?
                    .zip(of(&self.redis_key, "--redis-key")?)
                    .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key }),
                root_cert: of(&self.redis_ca, "--redis-ca")?,
            };
            for info in &mut named {
                *info = Client::build_with_tls(info.clone(), certificates.clone())
                    .map_err(|error| format!("the certificates for Redis can't be used: {error}"))?
                    .get_connection_info()
                    .clone();
            }
        }
        Ok(Servers { named, sentinel: self.redis_sentinel.clone() })
    }
}

/// The URL of each host, of one that names several.
fn each(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (login, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    hosts.split(',').map(|host| format!("{scheme}://{login}{}{path}", host.trim())).collect()
}

/// True when it stands on this program's command line.
fn in_view(secret: &str) -> bool {
    std::env::args_os().any(|argument| argument.to_string_lossy().contains(secret))
}

fn read(file: &Path, flag: &str) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("{flag} {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use redis::ConnectionAddr;

    #[test]
    fn a_url_may_name_several_hosts() {
        assert_eq!(each("redis://a:1"), ["redis://a:1"]);
        assert_eq!(each("rediss://u:p,w@a:1, b/2"), ["rediss://u:p,w@a:1/2", "rediss://u:p,w@b/2"]);
        assert_eq!(each("redis://[::1]:1,a,b?protocol=3").len(), 3);
        assert_eq!(each("unix:///run/a,b.sock"), ["unix:///run/a,b.sock"]);
        assert_eq!(each("nonsense"), ["nonsense"]);
    }

    fn servers(url: &str, password_file: Option<&Path>) -> Result<Vec<ConnectionInfo>, String> {
        let options = RedisOptions {
            redis_url: Url(url.to_owned()),
            redis_sentinel: None,
            redis_password_file: password_file.map(Path::to_owned),
            redis_ca: None,
            redis_cert: None,
            redis_key: None,
        };
        assert!(format!("{options:?}").contains("redis_url: (URL)"));
        options.servers().map(|servers| servers.named)
    }

    /// Any text is as many servers as it has hosts, all with one login and database; or refused in one line, which is
    /// the same whatever the text: there may be a password in it.
    #[test]
    fn fuzz_redis_url() {
        let shape = servers("nonsense", None).expect_err("no URL");
        bolero::check!().for_each(|bytes: &[u8]| {
            let url = String::from_utf8_lossy(bytes);
            match servers(&url, None) {
                Ok(named) => {
                    assert_eq!(named.len(), each(&url).len());
                    for info in &named {
                        let first = named[0].redis_settings();
                        let settings = info.redis_settings();
                        assert_eq!(
                            (settings.username(), settings.password()),
                            (first.username(), first.password())
                        );
                        assert_eq!(settings.db(), first.db());
                        let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
                        assert!(tls || !url.starts_with("rediss:"), "{url}: in the clear");
                    }
                }
                Err(said) => assert_eq!(said, shape, "{url}"),
            }
        });
    }

    proptest! {
        #[test]
        fn a_url_is_read_as_it_was_meant(
            user: String,
            password in "\\PC+|[:@/?#,%\\[\\] é]+",
            hosts in proptest::collection::vec(("[a-z][a-z0-9.-]{0,20}[a-z]", 1..=u16::MAX), 1..4),
            db in 0..16_i64,
            tls: bool,
        ) {
            let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
            let named: Vec<String> = hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
            let scheme = if tls { "rediss" } else { "redis" };
            let login = format!("{}:{}", encoded(&user), encoded(&password));
            let url = format!("{scheme}://{login}@{}/{db}", named.join(","));
            let read = servers(&url, None).expect("a URL");
            let addresses: Vec<String> = read.iter().map(|info| info.addr().to_string()).collect();
            prop_assert_eq!(addresses, named);
            for info in &read {
                let settings = info.redis_settings();
                prop_assert_eq!(settings.username(), Some(&*user).filter(|user| !user.is_empty()));
                prop_assert_eq!(settings.password(), Some(&*password));
                prop_assert_eq!(settings.db(), db);
                prop_assert_eq!(matches!(info.addr(), ConnectionAddr::TcpTls { .. }), tls);
            }
        }
    }
}
