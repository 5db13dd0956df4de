//! `aquatint doctor`: adapters, limits, and every kernel on this driver.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::common::{self, DeviceArgs};
use crate::error::{Bytes, Result};
use crate::gpu::{Caps, Gpu, list_adapters};
use crate::graph::SUBGROUPS;
use crate::kernels::{self, Report};

/// Lists the adapters of this machine and checks every kernel against its CPU twin on one of them.
/// Exit code 1 if one fails.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint doctor
  aquatint doctor --adapter 1 --kernel attention

JSON: {adapters: [text], adapter, limits: {...}, kernels: [{name, cases, launches, worst, failures: [text]}],
       dropped: [{variant, why}], ok}")]
pub struct Doctor {
    /// Only kernels whose name contains this.
    #[arg(long, default_value = "", value_name = "NAME", hide_default_value = true)]
    kernel: String,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub fn run(&self) -> Result<ExitCode> {
        let gpu = self.device.open()?;
        let adapters: Vec<String> = list_adapters().iter().map(ToString::to_string).collect();
        if !self.json {
            for (i, adapter) in adapters.iter().enumerate() {
                common::print_line(&format!("{i}: {adapter}"))?;
            }
        }
        let caps = gpu.caps().clone();
        let limits = json!({
            "class": format!("{:?}", caps.class),
            "subgroup_min": caps.subgroup_min,
            "subgroup_max": caps.subgroup_max,
            "timestamps": caps.timestamps,
            "binding_bytes_max": caps.binding_bytes_max,
            "buffer_bytes_max": caps.buffer_bytes_max,
            "workgroup_bytes_max": caps.workgroup_bytes_max,
        });
        if !self.json {
            common::print_line(&format!(
                "subgroups of {} to {} lanes, {} per binding, {} per buffer, {} of workgroup memory",
                caps.subgroup_min,
                caps.subgroup_max,
                Bytes(caps.binding_bytes_max),
                Bytes(caps.buffer_bytes_max),
                Bytes(u64::from(caps.workgroup_bytes_max)),
            ))?;
        }
        let mut reports = Vec::new();
        for kernel in kernels::ALL.iter().filter(|kernel| kernel.name.contains(&self.kernel)) {
            let report = kernels::check(&gpu, kernel)?;
            if !self.json {
                common::print_line(&report.to_string())?;
            }
            reports.push(report);
        }
        let mut failures: Vec<String> = reports.iter().flat_map(|report| report.failures.clone()).collect();
        let dropped = match self.kernel.is_empty() {
            true => drop_failing(&gpu, &reports)?,
            false => Vec::new(),
        };
        if dropped.iter().any(|(variant, _)| variant == SUBGROUPS) {
            // All kernels are right without them, and run without them from now on.
            failures.clear();
        }
        let n_failed = failures.len();
        if self.json {
            let kernels: Vec<Value> = reports
                .iter()
                .map(|r| {
                    json!({
                        "name": r.kernel, "cases": r.n_cases, "launches": r.n_launches, "worst": r.worst,
                        "failures": r.failures,
                    })
                })
                .collect();
            common::print_json(&json!({
                "adapters": adapters,
                "adapter": gpu.adapter().to_string(),
                "limits": limits,
                "kernels": kernels,
                "dropped": dropped.iter().map(|(variant, why)| json!({ "variant": variant, "why": why })).collect::<Vec<_>>(),
                "ok": n_failed == 0,
            }))?;
        } else {
            for (variant, why) in &dropped {
                common::print_line(&format!("not used on this driver: {variant}: {why}"))?;
            }
            for failure in failures.iter().take(20) {
                common::print_line(failure)?;
            }
            let word =
                if n_failed == 0 { "all kernels agree with their twins" } else { "there are failures" };
            common::print_line(word)?;
        }
        Ok(if n_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Finds the variants that are wrong on this driver and notes them, so that no run takes them: shapes of
/// matrix products, and all exchange by subgroups where every kernel that fails is right without it.
fn drop_failing(gpu: &Gpu, reports: &[Report]) -> Result<Vec<(String, String)>> {
    kernels::load_tuning(gpu);
    let (_, mut dropped) = kernels::check_shapes(gpu)?;
    let failing: Vec<&Report> = reports.iter().filter(|report| !report.failures.is_empty()).collect();
    if gpu.caps().subgroup_max > 0 && !failing.is_empty() {
        let without = Caps { subgroup_min: 0, subgroup_max: 0, ..gpu.caps().clone() };
        let mut right = true;
        for report in &failing {
            let kernel = kernels::ALL.iter().find(|kernel| kernel.name == report.kernel);
            let kernel = kernel.expect("the report is of a kernel of this list");
            right &= kernels::check_with(gpu, &without, kernel)?.failures.is_empty();
        }
        if right {
            let names: Vec<&str> = failing.iter().map(|report| report.kernel).collect();
            dropped.push((SUBGROUPS.to_owned(), format!("wrong in {}", names.join(", "))));
        }
    }
    let mut tuning = (*gpu.tuning()).clone();
    tuning.failed = dropped.iter().cloned().collect();
    if let Some(path) = gpu.tuning_path().filter(|path| !dropped.is_empty() || path.exists()) {
        tuning.write(&path)?;
    }
    Ok(dropped)
}
