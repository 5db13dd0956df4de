//! Every variant of every kernel: linked, validated, translated to SPIR-V, MSL and HLSL, its params
//! compared with their Rust mirror. Needs no GPU.

use std::collections::BTreeMap;

use aquatint::gpu::{Caps, Class, Source};
use aquatint::graph::{Field, Graph, Inputs};
use aquatint::kernels;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

fn caps(class: Class, subgroup: (u32, u32)) -> Caps {
    Caps {
        class,
        subgroup_min: subgroup.0,
        subgroup_max: subgroup.1,
        cooperative: 0,
        int8_dot: false,
        timestamps: false,
        binding_bytes_max: 128 << 20,
        buffer_bytes_max: 1 << 30,
        workgroup_lanes_max: 256,
        workgroup_bytes_max: 16 << 10,
        workgroups_max: 65535,
        offset_alignment: 256,
        images: class == Class::Software,
        images_updated: class == Class::Software,
        buffers_bound_max: 32,
        images_bound_max: 64,
        threads: 2,
    }
}

/// The sources that a device of each kind would compile, by their text.
fn sources() -> BTreeMap<String, (Source, &'static [Field])> {
    let devices = [
        caps(Class::Software, (8, 8)),
        caps(Class::Software, (4, 4)),
        caps(Class::Gpu, (32, 32)),
        caps(Class::Gpu, (8, 32)),
        caps(Class::Gpu, (0, 0)),
        Caps { cooperative: 16, ..caps(Class::Gpu, (32, 32)) },
        Caps { cooperative: 8, ..caps(Class::Gpu, (32, 32)) },
    ];
    let mut sources = BTreeMap::new();
    for caps in &devices {
        for kernel in kernels::ALL {
            let cases = (kernel.cases)(caps);
            let has_cases = kernel.name != "matmul_coop" || caps.cooperative > 0;
            assert_eq!(!cases.is_empty(), has_cases, "cases of {}", kernel.name);
            for case in cases {
                let mut g = Graph::new(caps);
                (case.record)(&mut g, &mut Inputs::new(1)).expect("the case can be recorded");
                g.settle().expect("files that can be read");
                for launch in g.launches() {
                    let source = launch.source().unwrap_or_else(|error| panic!("{}: {error}", launch.label));
                    sources.insert(source.wgsl.clone(), (source, launch.kernel.params));
                }
            }
        }
    }
    sources
}

fn validate(source: &Source) -> (naga::Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(&source.wgsl)
        .unwrap_or_else(|error| panic!("{}: {}", source.label, error.emit_to_string(&source.wgsl)));
    let capabilities = Capabilities::IMMEDIATES
        | Capabilities::SUBGROUP
        | Capabilities::SHADER_FLOAT16_IN_FLOAT32
        | Capabilities::SHADER_FLOAT16
        | Capabilities::COOPERATIVE_MATRIX;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}: {}", source.label, error.emit_to_string(&source.wgsl)));
    (module, info)
}

#[test]
fn every_variant_is_valid_and_translates_everywhere() {
    let sources = sources();
    assert!(sources.len() > 100, "{} variants", sources.len());
    for (source, params) in sources.values() {
        let reflection = source.reflect().expect("it was parsed");
        let expected: Vec<(String, u32)> =
            params.iter().map(|f| (f.name.to_owned(), f.offset as u32)).collect();
        assert_eq!(reflection.params, expected, "Params of {}", source.label);

        let (module, info) = validate(source);
        let spirv = naga::back::spv::Options { lang_version: (1, 3), ..Default::default() };
        naga::back::spv::write_vec(&module, &info, &spirv, None)
            .unwrap_or_else(|error| panic!("{}: SPIR-V: {error}", source.label));

        let msl = naga::back::msl::Options {
            lang_version: (2, 4),
            fake_missing_bindings: true,
            ..Default::default()
        };
        naga::back::msl::write_string(&module, &info, &msl, &Default::default())
            .unwrap_or_else(|error| panic!("{}: MSL: {error}", source.label));

        if source.entry == "matmul_coop" {
            // DX12 has no cooperative matrices, so no adapter there lists any.
            continue;
        }
        let hlsl = naga::back::hlsl::Options {
            shader_model: naga::back::hlsl::ShaderModel::V6_0,
            fake_missing_bindings: true,
            immediates_target: Some(naga::back::hlsl::BindTarget {
                register: 0,
                space: 1,
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut text = String::new();
        naga::back::hlsl::Writer::new(&mut text, &hlsl, &Default::default())
            .write(&module, &info, None)
            .unwrap_or_else(|error| panic!("{}: HLSL: {error}", source.label));
    }
}

#[test]
fn an_error_names_the_file_and_the_line() {
    let (source, _) = sources().into_values().next().expect("a kernel");
    let broken = Source { wgsl: source.wgsl.replacen("fn ", "fun ", 1), ..source };
    let message = broken.reflect().expect_err("`fun` is no keyword").to_string();
    assert!(message.contains("shaders/") && message.contains(".wgsl:"), "{message}");
}
