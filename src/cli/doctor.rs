//! `aquatint doctor`: adapters, limits, and every kernel on this driver.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::common::{self, DeviceArgs};
use crate::error::{Bytes, Result};
use crate::gpu::list_adapters;
use crate::kernels;

/// Lists the adapters of this machine and checks every kernel against its CPU twin on one of them.
/// Exit code 1 if one fails.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint doctor
  aquatint doctor --adapter 1 --kernel attention

JSON: {adapters: [text], adapter, limits: {...}, kernels: [{name, cases, launches, worst, failures: [text]}], ok}")]
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
        let n_failed: usize = reports.iter().map(|report| report.failures.len()).sum();
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
                "ok": n_failed == 0,
            }))?;
        } else {
            for failure in reports.iter().flat_map(|report| &report.failures).take(20) {
                common::print_line(failure)?;
            }
            let word =
                if n_failed == 0 { "all kernels agree with their twins" } else { "there are failures" };
            common::print_line(word)?;
        }
        Ok(if n_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
