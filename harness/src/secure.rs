//! Servers that want TLS and a login: certificates, users and passwords of one stack.

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ports::free_port;
use crate::program::Program;

/// The user of Kafka and of Redis.
pub const USER: &str = "sluice";

/// Of Kafka's own tools.
const HEAP: &str = "-Xmx128m";
/// Until Kafka's own tool has made a user: it is a Java program.
const USER_WITHIN: Duration = Duration::from_secs(60);

/// What a client needs to reach secured servers.
#[derive(Debug)]
pub struct Secured {
    /// Kafka's port with TLS and SASL: SCRAM-SHA-512 or PLAIN.
    pub kafka_sasl: u16,
    /// Kafka's port with TLS for who shows a certificate.
    pub kafka_tls: u16,
    /// Redis' port with TLS for who shows a certificate.
    pub redis_tls: u16,
    /// Certificate of the authority that signed all others.
    pub ca: PathBuf,
    /// The client's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Of the user, everywhere.
    pub password: String,
    /// The servers' certificate with its key, as Kafka takes it, and each alone, as Redis does.
    server: [PathBuf; 3],
    redis_rights: &'static str,
}

impl Secured {
    /// Makes an authority, and certificates signed by it, for servers on 127.0.0.1 and for a client.
    pub(crate) fn make(stack: &Path, redis_rights: &'static str) -> Result<Secured> {
        let folder = stack.join("secrets");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "Sluice's tests");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            Ok::<_, anyhow::Error>(path)
        };
        let signed = |name: &str, addresses: Vec<String>| {
            let mut params = CertificateParams::new(addresses)?;
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate()?;
            Ok::<_, anyhow::Error>((params.signed_by(&key, &authority)?.pem(), key.serialize_pem()))
        };
        let (server, server_key) = signed("server", vec!["127.0.0.1".into(), "localhost".into()])?;
        let (client, client_key) = signed(USER, vec![USER.into()])?;
        Ok(Secured {
            kafka_sasl: free_port()?,
            kafka_tls: free_port()?,
            redis_tls: free_port()?,
            redis_rights,
            ca: write("ca.pem", &authority.pem())?,
            cert: write("client.pem", &client)?,
            key: write("client.key", &client_key)?,
            password: "s3cret-of-the-stack".to_owned(),
            server: [
                write("server-with-key.pem", &(server_key.clone() + &server))?,
                write("server.pem", &server)?,
                write("server.key", &server_key)?,
            ],
        })
    }

    /// Settings of a broker, which keeps a plain port for the tests themselves.
    pub(crate) fn of_kafka(&self, plain: u16) -> String {
        let (sasl, tls) = (self.kafka_sasl, self.kafka_tls);
        let listeners =
            format!("PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls}");
        format!(
            "listeners={listeners}\n\
             advertised.listeners={listeners}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL:SASL_SSL,TLS:SSL\n\
             inter.broker.listener.name=PLAINTEXT\n\
             sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN\n\
             listener.name.sasl.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
             listener.name.sasl.plain.sasl.jaas.config=\
             org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{password}\";\n\
             listener.name.tls.ssl.client.auth=required\n\
             ssl.principal.mapping.rules=RULE:^CN=([^,]*).*$/$1/\n\
             authorizer.class.name=kafka.security.authorizer.AclAuthorizer\n\
             super.users=User:ANONYMOUS\n\
             ssl.keystore.type=PEM\n\
             ssl.keystore.location={server}\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={ca}\n",
            password = self.password,
            server = self.server[0].display(),
            ca = self.ca.display(),
        )
    }

    /// Settings of Redis, where the user may do what his rights say and nothing else.
    pub(crate) fn of_redis(&self) -> String {
        let [_, cert, key] = &self.server;
        format!(
            "tls-port {}\n\
             tls-cert-file {}\n\
             tls-key-file {}\n\
             tls-ca-cert-file {}\n\
             tls-auth-clients yes\n\
             user {USER} on >{} {}\n",
            self.redis_tls,
            cert.display(),
            key.display(),
            self.ca.display(),
            self.password,
            self.redis_rights,
        )
    }

    fn folder(&self) -> &Path {
        self.ca.parent().expect("it was put into a folder")
    }

    /// Makes the user known to Kafka for SCRAM (PLAIN has it in the settings), with the rights that
    /// `deploy/kubernetes/strimzi` gives it, and no more.
    pub(crate) fn make_user(&self, bootstrap: &str) -> Result<()> {
        let scram = format!("SCRAM-SHA-512=[password={}]", self.password);
        let user = ["--entity-type", "users", "--entity-name", USER, "--add-config", &scram];
        self.tool("ConfigCommand", bootstrap, &[&["--alter"], &user[..]].concat())?;
        let principal = format!("User:{USER}");
        let rights: [&[&str]; 2] = [
            &["--topic=logs", "--transactional-id=sluice", "--operation=Write"],
            &["--topic=logs", "--group=sluice", "--operation=Read"],
        ];
        for right in rights {
            let who = ["--add", "--allow-principal", &principal, "--resource-pattern-type=prefixed"];
            let right = [&who, right, &["--operation=Describe"]].concat();
            self.tool("AclCommand", bootstrap, &right)?;
        }
        Ok(())
    }

    /// Takes the right to read the topic `logs` from the user, or gives it back.
    ///
    /// # Errors
    /// When Kafka's own tool fails.
    pub fn deny_reading(&self, bootstrap: &str, denied: bool) -> Result<()> {
        let principal = format!("User:{USER}");
        let change: &[&str] = if denied { &["--add"] } else { &["--remove", "--force"] };
        let what = ["--topic=logs", "--operation=Read", "--deny-principal", &principal];
        self.tool("AclCommand", bootstrap, &[change, &what].concat())
    }

    /// Runs one of Kafka's own tools.
    fn tool(&self, name: &str, bootstrap: &str, arguments: &[&str]) -> Result<()> {
        let jars = format!("{}/*", crate::kafka_jars().display());
        let class = format!("kafka.admin.{name}");
        let java = [HEAP, "-cp", &jars, &class, "--bootstrap-server", bootstrap];
        let mut tool =
            Program::run(Path::new("java"), java.iter().chain(arguments).copied(), &[], self.folder())?;
        let status = tool.wait(USER_WITHIN)?;
        ensure!(status.success(), "{name} {arguments:?}: {}{}", tool.stdout(), tool.stderr());
        Ok(())
    }
}
