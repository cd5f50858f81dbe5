//! What a caller may choose about a Kafka cluster.

/// How many brokers, each of which is a controller too: one, or the fewest that survive a loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Brokers {
    #[default]
    One,
    Three,
}

impl Brokers {
    pub fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }
}

#[derive(Clone, Debug)]
pub struct KafkaOptions {
    pub brokers: Brokers,
    /// Lines of server.properties as (name, value); they win over the sandbox's own.
    pub settings: Vec<(String, String)>,
    /// Security protocols (`SSL`, `SASL_PLAINTEXT`, `SASL_SSL`) of listeners beside the plaintext
    /// one, each reached through `Kafka::bootstrap_of`. What they need goes into `settings`.
    pub listeners: Vec<String>,
    /// Ports of this machine that lead to the brokers by a detour of the caller's, such as a proxy,
    /// one for each broker. Whoever connects there is told these addresses, and no others, so that
    /// all of its connections take the detour. Its end is the listener [`Self::DETOUR`]. Only for
    /// brokers that are processes.
    pub detours: Vec<u16>,
    /// Files put beside server.properties, the brokers' working folder, such as key stores.
    pub files: Vec<(String, Vec<u8>)>,
    /// Added to the arguments of `StorageTool format`, such as `--add-scram`. A cluster with any
    /// does not come from the cached template.
    pub format_args: Vec<String>,
    /// Options of the Java machine.
    pub jvm_args: Vec<String>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            brokers: Brokers::One,
            settings: Vec::new(),
            listeners: Vec::new(),
            detours: Vec::new(),
            files: Vec::new(),
            format_args: Vec::new(),
            jvm_args: QUICK_START.iter().map(|&word| word.to_owned()).collect(),
        }
    }
}

impl KafkaOptions {
    /// For `Kafka::bootstrap_of`: where detours lead.
    pub const DETOUR: &str = "DETOUR";

    /// A broker that asks who is there and what they may do. Users, each with a password, come to
    /// the listener `SASL_PLAINTEXT` with SCRAM-SHA-512, and may do nothing until they are given
    /// rights. Whoever uses the plaintext listener may do everything.
    pub fn guarded(users: &[(&str, &str)]) -> Self {
        let settings = [
            ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
            ("super.users", "User:ANONYMOUS"),
            ("sasl.enabled.mechanisms", "SCRAM-SHA-512"),
            (
                "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config",
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            ),
        ];
        let add = |&(name, password): &(&str, &str)| {
            let user = format!("SCRAM-SHA-512=[name={name},password={password}]");
            ["--add-scram".to_owned(), user]
        };
        Self {
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            listeners: vec!["SASL_PLAINTEXT".to_owned()],
            format_args: users.iter().flat_map(add).collect(),
            ..Self::default()
        }
    }
}

/// Settings of every sandbox broker that depend on nothing but the size of the cluster;
/// `KafkaOptions::settings` come after and win. Few internal partitions start quicker.
pub(crate) fn base_settings(brokers: Brokers) -> Vec<(String, String)> {
    let replicas = brokers.count().to_string();
    let in_sync = match brokers {
        Brokers::One => "1",
        Brokers::Three => "2",
    };
    [
        ("default.replication.factor", replicas.as_str()),
        ("min.insync.replicas", in_sync),
        ("offsets.topic.num.partitions", "3"),
        ("offsets.topic.replication.factor", &replicas),
        ("transaction.state.log.num.partitions", "3"),
        ("transaction.state.log.replication.factor", &replicas),
        ("transaction.state.log.min.isr", in_sync),
        ("group.initial.rebalance.delay.ms", "0"),
        // How long a broker that was killed keeps its partitions; by default 9 s.
        ("broker.session.timeout.ms", "3000"),
        ("broker.heartbeat.interval.ms", "500"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// A small heap, the collector with the least machinery, no second compiler.
const QUICK_START: [&str; 3] = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
