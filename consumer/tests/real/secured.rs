//! Kafka and Redis that want TLS and a login, and secrets that show nowhere.

use crate::scene::{PATIENCE, Scene};
use harness::{Program, USER, wait_until};
use std::fs;

/// What the consumer's user in Redis must be allowed, and no more: the README has the same line.
const RIGHTS: &str = "~logs:* -@all +watch +multi +exec +mget +set +lpush +ltrim +hincrby +expire";

/// Files that name the secrets, and flags that name the files.
struct Access {
    scram: String,
    plain: String,
    certificate: String,
    redis: Vec<String>,
}

impl Access {
    fn new(scene: &Scene) -> Access {
        let secured = scene.stack.secured().unwrap();
        let file = |name, text| file(scene, name, text);
        let [ca, cert, key] =
            [&secured.ca, &secured.cert, &secured.key].map(|path| path.display().to_string());
        let sasl = |mechanism: &str| {
            let password = &secured.password;
            format!(
                "# a login\nsecurity.protocol=sasl_ssl\nssl.ca.location={ca}\nsasl.mechanism={mechanism}\n\
                 sasl.username={USER}\nsasl.password={password}\n"
            )
        };
        let mutual = format!(
            "security.protocol=ssl\nssl.ca.location={ca}\nssl.certificate.location={cert}\nssl.key.location={key}\n"
        );
        let password = file("redis-password", format!("{}\n", secured.password));
        let url = format!("rediss://{USER}@127.0.0.1:{}", secured.redis_tls);
        Access {
            scram: file("scram.properties", sasl("SCRAM-SHA-512")),
            plain: file("plain.properties", sasl("PLAIN")),
            certificate: file("certificate.properties", mutual),
            redis: [
                "--redis-url",
                &url,
                "--redis-password-file",
                &password,
                "--redis-ca",
                &ca,
                "--redis-cert",
                &cert,
                "--redis-key",
                &key,
            ]
            .map(str::to_owned)
            .to_vec(),
        }
    }
}

/// Writes a file beside the others; its path.
fn file(scene: &Scene, name: &str, text: String) -> String {
    let path = scene.path(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn start(scene: &Scene, name: &str, port: u16, config: &str, more: &[&str]) -> Program {
    let brokers = format!("localhost:{port}");
    let arguments = ["--brokers", &brokers, "--kafka-config", config].into_iter().chain(more.iter().copied());
    Program::start(name, arguments, &[], scene.path("").as_path()).unwrap()
}

/// Given servers that want TLS, with SCRAM, PLAIN or a certificate, and a user with few rights in Kafka (he may not create
/// topics) and in Redis, everything goes its way as ever, and the password is in no command line, log, page or report.
#[test]
fn with_tls_and_logins() {
    let scene = Scene::secured(2, RIGHTS);
    scene.stack.create_topic("logs.rejected", 1).unwrap();
    let secured = scene.stack.secured().unwrap();
    let access = Access::new(&scene);
    let (sasl, tls) = (secured.kafka_sasl, secured.kafka_tls);
    let mut consumer_flags = vec!["--metrics-addr", "127.0.0.1:0"];
    consumer_flags.extend(access.redis.iter().map(String::as_str));
    let mut consumer = start(&scene, "consumer", sasl, &access.scram, &consumer_flags);
    let reports = ["scram.json", "plain.json", "certificate.json"];
    let ways = [(sasl, &access.scram), (sasl, &access.plain), (tls, &access.certificate)];
    for (report, (port, config)) in reports.iter().zip(ways) {
        let flags = ["--rate", "max", "--count", "20k", "--report", report];
        let mut producer = start(&scene, "producer", port, config, &flags);
        scene.finish(&mut producer);
        assert!(!(producer.stdout() + &producer.stderr()).contains(&secured.password));
    }
    scene.stack.produce("logs", None, None, ["no event"]).unwrap();
    scene.await_count(60_000);
    wait_until("the rejected event to be kept, by the same login", PATIENCE, || {
        scene.stack.high_watermarks("logs.rejected").is_ok_and(|ends| ends == [1])
    })
    .unwrap();
    let shown = fs::read_to_string(format!("/proc/{}/cmdline", consumer.pid())).unwrap()
        + &scene.metrics(&consumer)
        + &scene.page(&consumer, "/readyz");
    scene.end(&mut consumer);
    assert!(!shown.contains(&secured.password), "{shown}");
    assert!(!consumer.stderr().contains(&secured.password), "{}", consumer.stderr());
    scene.verify(&[scene.path("logs.txt")], &reports);
    assert_eq!(scene.lines(), 60_000);
}

/// Given a wrong password, an authority that is not known, or a login that is missing, it is said what is wrong, and no
/// secret with it.
#[test]
fn what_is_wrong_with_a_login_is_said() {
    let scene = Scene::secured(1, RIGHTS);
    let secured = scene.stack.secured().unwrap();
    let access = Access::new(&scene);
    let right = fs::read_to_string(&access.scram).unwrap();
    let password = file(&scene, "password.properties", right.replace(&secured.password, "wr0ng-password"));
    let authority = right.lines().filter(|line| !line.starts_with("ssl.ca")).collect::<Vec<_>>().join("\n");
    let authority = file(&scene, "authority.properties", authority);
    for (config, said) in [(&password, "uthentication failed"), (&authority, "certificate verify failed")] {
        let flags = ["--count", "1", "--wait", "15s"];
        let mut producer = start(&scene, "producer", secured.kafka_sasl, config, &flags);
        assert_eq!(producer.wait(PATIENCE).unwrap().code(), Some(1));
        let error = producer.stderr();
        assert!(error.contains(said), "{said} in {error}");
        assert!(!error.contains("wr0ng-password") && !error.contains(&secured.password), "{error}");
    }

    let url = format!("redis://{USER}:wr0ng-password@127.0.0.1:{}", scene.stack.redis_port());
    let config = [("REDIS_URL", url.as_str())];
    let brokers = scene.stack.bootstrap();
    let flags = ["--brokers", &brokers, "--metrics-addr", "127.0.0.1:0"];
    let mut consumer = Program::start("consumer", flags, &config, scene.path("").as_path()).unwrap();
    wait_until("the log to name Redis' answer", PATIENCE, || consumer.stderr().contains("Redis is detached"))
        .unwrap();
    let said = consumer.stderr();
    assert!(said.contains("assword") && !said.contains("wr0ng-password"), "{said}");
    consumer.kill().unwrap();

    let in_view = ["--kafka", "sasl.password=wr0ng-password"];
    for (program, action, flags) in [
        ("consumer", [].as_slice(), ["--redis-url", &url]),
        ("consumer", &[], in_view),
        ("consumer", &["rejected", "list"], in_view),
        ("consumer", &["rejected", "replay"], in_view),
        ("producer", &[], in_view),
        ("producer", &["ship", "app.log"], in_view),
    ] {
        let arguments = action.iter().copied().chain(flags);
        let mut program = Program::start(program, arguments, &[], scene.path("").as_path()).unwrap();
        assert_eq!(program.wait(PATIENCE).unwrap().code(), Some(2), "{action:?} {flags:?}");
        let error = program.stderr();
        assert!(error.contains("file") && !error.contains("wr0ng-password"), "{error}");
    }
}

/// Given a right to read that is missing for a while, in which partitions move, then the event that comes next is not left
/// out.
#[test]
fn nothing_is_left_out_behind_a_refusal() {
    let scene = Scene::secured(4, RIGHTS);
    let secured = scene.stack.secured().unwrap();
    let access = Access::new(&scene);
    let flags = ["--file", "logs-{partition}.txt", "--no-redis", "--metrics-addr", "127.0.0.1:0"];
    let consumer = || start(&scene, "consumer", secured.kafka_sasl, &access.scram, &flags);
    let produce = || {
        for partition in 0..4 {
            scene.stack.produce("logs", Some(partition), None, ["{\"message\":\"m\"}"]).unwrap();
        }
    };
    let await_lines = |lines| wait_until("all events to be written", PATIENCE, || scene.lines() == lines);
    let mut first = consumer();
    wait_until("it to read", PATIENCE, || first.stderr().matches("reading starts").count() == 4).unwrap();
    produce();
    await_lines(4).unwrap();
    let bootstrap = scene.stack.bootstrap();
    secured.deny_reading(&bootstrap, true).unwrap();
    wait_until("each partition to be refused", PATIENCE, || {
        let log = first.stderr();
        (0..4).all(|id| log.contains(&format!("partition={id} code=TopicAuthorizationFailed")))
    })
    .unwrap_or_else(|error| panic!("{error}: {}", first.stderr()));
    let mut second = consumer();
    wait_until("partitions to move", PATIENCE, || second.stderr().contains("reading starts")).unwrap();
    secured.deny_reading(&bootstrap, false).unwrap();
    produce();
    await_lines(8).unwrap_or_else(|error| panic!("{error}, {}: {}", scene.lines(), first.stderr()));
    scene.end(&mut first);
    scene.end(&mut second);
}
