"""Every flag of llama-server and llama-cli, as data: spellings, value, environment variable, and what it sets.

Source: llama.cpp common/arg.cpp at the validated commit. One line is one flag:
tools (s llama-server, c llama-cli) | kind | spellings | negated spellings | environment variable | setting.
Kinds: v no value, b on or off by spelling, i whole number, s text, 2 two texts.
A flag without a setting cannot change memory: it is accepted and ignored.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple


class Flag(NamedTuple):
    """One flag."""

    tools: str
    kind: str
    spellings: tuple[str, ...]
    negated: tuple[str, ...]
    env: str | None
    setting: str | None
    """Key in `handlers.HANDLERS`; None where the flag cannot change memory."""


_TABLE = """
sc | v | -h --help --usage | - | - | -
sc | v | --version | - | - | -
sc | v | -cl --cache-list | - | - | -
sc | v | --completion-bash | - | - | -
c | s | --server-base | - | - | -
c | v | --verbose-prompt | - | - | -
c | b | --display-prompt | --no-display-prompt | - | -
c | s | -co --color | - | - | -
sc | i | -t --threads | - | LLAMA_ARG_THREADS | -
sc | i | -tb --threads-batch | - | - | -
sc | s | -C --cpu-mask | - | - | -
sc | s | -Cr --cpu-range | - | - | -
sc | s | --cpu-strict | - | - | -
sc | i | --prio | - | - | -
sc | s | --poll | - | - | -
sc | s | -Cb --cpu-mask-batch | - | - | -
sc | s | -Crb --cpu-range-batch | - | - | -
sc | i | --cpu-strict-batch | - | - | -
sc | i | --prio-batch | - | - | -
sc | i | --poll-batch | - | - | -
s | s | -lcs --lookup-cache-static | - | - | -
s | s | -lcd --lookup-cache-dynamic | - | - | -
sc | i | -c --ctx-size | - | LLAMA_ARG_CTX_SIZE | n_ctx
s | i | --kv-unified-per-slot | - | LLAMA_ARG_KV_UNIFIED_PER_SLOT | kv_unified_per_slot
sc | i | -n --predict --n-predict | - | LLAMA_ARG_N_PREDICT | -
sc | i | -b --batch-size | - | LLAMA_ARG_BATCH | n_batch
sc | i | -ub --ubatch-size | - | LLAMA_ARG_UBATCH | n_ubatch
sc | i | --keep | - | - | -
sc | v | --swa-full | - | LLAMA_ARG_SWA_FULL | swa_full
sc | i | -ctxcp --ctx-checkpoints --swa-checkpoints | - | LLAMA_ARG_CTX_CHECKPOINTS | ctx_checkpoints
s | i | -cms --checkpoint-min-step | - | LLAMA_ARG_CHECKPOINT_MIN_SPACING_NT | -
sc | i | -cram --cache-ram | - | LLAMA_ARG_CACHE_RAM | cache_ram_mib
s | b | -kvu --kv-unified | -no-kvu --no-kv-unified | LLAMA_ARG_KV_UNIFIED | kv_unified
s | b | --cache-idle-slots | --no-cache-idle-slots | LLAMA_ARG_CACHE_IDLE_SLOTS | -
sc | b | --context-shift | --no-context-shift | LLAMA_ARG_CONTEXT_SHIFT | -
sc | s | -fa --flash-attn | - | LLAMA_ARG_FLASH_ATTN | flash_attn
c | s | -p --prompt | - | - | -
c | s | -sys --system-prompt | - | - | -
sc | b | --perf | --no-perf | LLAMA_ARG_PERF | -
c | b | --show-timings | --no-show-timings | LLAMA_ARG_SHOW_TIMINGS | -
c | s | -f --file | - | - | -
c | s | -sysf --system-prompt-file | - | - | -
c | s | -bf --binary-file | - | - | -
sc | b | -e --escape | --no-escape | - | -
sc | s | -r --reverse-prompt | - | - | -
sc | v | -sp --special | - | - | -
c | v | -st --single-turn | - | - | -
c | v | -mli --multiline-input | - | - | -
sc | b | --warmup | --no-warmup | - | -
s | v | --spm-infill | - | - | -
sc | s | --samplers | - | - | -
sc | s | -s --seed | - | - | -
sc | s | --sampler-seq --sampling-seq | - | - | -
sc | v | --ignore-eos | - | - | -
sc | s | --temp --temperature | - | LLAMA_ARG_TEMPERATURE | -
sc | i | --top-k | - | LLAMA_ARG_TOP_K | -
sc | s | --top-p | - | LLAMA_ARG_TOP_P | -
sc | s | --min-p | - | LLAMA_ARG_MIN_P | -
sc | s | --top-nsigma --top-n-sigma | - | - | -
sc | s | --xtc-probability | - | - | -
sc | s | --xtc-threshold | - | - | -
sc | s | --typical --typical-p | - | - | -
sc | i | --repeat-last-n | - | - | -
sc | s | --repeat-penalty | - | LLAMA_ARG_REPEAT_PENALTY | -
sc | s | --presence-penalty | - | LLAMA_ARG_PRESENCE_PENALTY | -
sc | s | --frequency-penalty | - | LLAMA_ARG_FREQUENCY_PENALTY | -
sc | s | --dry-multiplier | - | - | -
sc | s | --dry-base | - | - | -
sc | i | --dry-allowed-length | - | - | -
sc | i | --dry-penalty-last-n | - | - | -
sc | s | --dry-sequence-breaker | - | - | -
sc | s | --adaptive-target | - | - | -
sc | s | --adaptive-decay | - | - | -
sc | s | --dynatemp-range | - | - | -
sc | s | --dynatemp-exp | - | - | -
sc | i | --mirostat | - | - | -
sc | s | --mirostat-lr | - | - | -
sc | s | --mirostat-ent | - | - | -
sc | s | -l --logit-bias | - | - | -
sc | s | --grammar | - | - | -
sc | s | --grammar-file | - | - | -
sc | s | -j --json-schema | - | - | -
sc | s | -jf --json-schema-file | - | - | -
sc | v | -bs --backend-sampling | - | LLAMA_ARG_BACKEND_SAMPLING | backend_sampling
s | s | --pooling | - | LLAMA_ARG_POOLING | pooling
sc | s | --rope-scaling | - | LLAMA_ARG_ROPE_SCALING_TYPE | -
sc | s | --rope-scale | - | LLAMA_ARG_ROPE_SCALE | -
sc | s | --rope-freq-base | - | LLAMA_ARG_ROPE_FREQ_BASE | -
sc | s | --rope-freq-scale | - | LLAMA_ARG_ROPE_FREQ_SCALE | -
sc | i | --yarn-orig-ctx | - | LLAMA_ARG_YARN_ORIG_CTX | -
sc | s | --yarn-ext-factor | - | LLAMA_ARG_YARN_EXT_FACTOR | -
sc | s | --yarn-attn-factor | - | LLAMA_ARG_YARN_ATTN_FACTOR | -
sc | s | --yarn-beta-slow | - | LLAMA_ARG_YARN_BETA_SLOW | -
sc | s | --yarn-beta-fast | - | LLAMA_ARG_YARN_BETA_FAST | -
sc | b | -kvo --kv-offload | -nkvo --no-kv-offload | LLAMA_ARG_KV_OFFLOAD | offload_kqv
sc | b | --repack | -nr --no-repack | LLAMA_ARG_REPACK | repack
sc | v | --no-host | - | LLAMA_ARG_NO_HOST | no_host
sc | s | -ctk --cache-type-k | - | LLAMA_ARG_CACHE_TYPE_K | type_k
sc | s | -ctv --cache-type-v | - | LLAMA_ARG_CACHE_TYPE_V | type_v
sc | s | -dt --defrag-thold | - | LLAMA_ARG_DEFRAG_THOLD | -
sc | i | -np --parallel | - | LLAMA_ARG_N_PARALLEL | n_parallel
s | b | -cb --cont-batching | -nocb --no-cont-batching | LLAMA_ARG_CONT_BATCHING | -
sc | s | -mm --mmproj | - | LLAMA_ARG_MMPROJ | mmproj
sc | s | -mmu --mmproj-url | - | LLAMA_ARG_MMPROJ_URL | mmproj_url
sc | b | --mmproj-auto | --no-mmproj --no-mmproj-auto | LLAMA_ARG_MMPROJ_AUTO | mmproj_auto
sc | b | --mmproj-offload | --no-mmproj-offload | LLAMA_ARG_MMPROJ_OFFLOAD | mmproj_offload
sc | s | -mmdev --mmproj-device | - | MTMD_BACKEND_DEVICE | mmproj_device
c | s | --image --audio --video | - | - | -
sc | i | --image-min-tokens | - | LLAMA_ARG_IMAGE_MIN_TOKENS | -
sc | i | --image-max-tokens | - | LLAMA_ARG_IMAGE_MAX_TOKENS | image_max_tokens
s | i | --mtmd-batch-max-tokens | - | LLAMA_ARG_MTMD_BATCH_MAX_TOKENS | -
sc | s | --video-fps | - | LLAMA_ARG_VIDEO_FPS | -
sc | i | --video-timestamp-interval | - | LLAMA_ARG_VIDEO_TIMESTAMP_INTERVAL | -
sc | s | --video-ffmpeg-dir | - | LLAMA_ARG_VIDEO_FFMPEG_DIR | -
sc | s | --rpc | - | LLAMA_ARG_RPC | rpc
sc | s | -lm --load-mode | - | LLAMA_ARG_LOAD_MODE | load_mode
sc | s | -lzm --lazy-mode | - | LLAMA_ARG_LAZY_MODE | lazy_mode
sc | s | --numa | - | LLAMA_ARG_NUMA | -
sc | s | -dev --device | - | LLAMA_ARG_DEVICE | devices
sc | v | --list-devices | - | - | -
sc | s | -ot --override-tensor | - | LLAMA_ARG_OVERRIDE_TENSOR | override_tensor
sc | v | -cmoe --cpu-moe | - | LLAMA_ARG_CPU_MOE | cpu_moe
sc | i | -ncmoe --n-cpu-moe | - | LLAMA_ARG_N_CPU_MOE | n_cpu_moe
sc | i | -ncffn --n-cpu-ffn | - | LLAMA_ARG_N_CPU_FFN | n_cpu_ffn
sc | s | -ngl --gpu-layers --n-gpu-layers | - | LLAMA_ARG_N_GPU_LAYERS | n_gpu_layers
sc | s | -sm --split-mode | - | LLAMA_ARG_SPLIT_MODE | split_mode
sc | s | -ts --tensor-split | - | LLAMA_ARG_TENSOR_SPLIT | tensor_split
sc | i | -mg --main-gpu | - | LLAMA_ARG_MAIN_GPU | main_gpu
sc | s | -fit --fit | - | LLAMA_ARG_FIT | fit
sc | s | -fitt --fit-target | - | LLAMA_ARG_FIT_TARGET | fit_target_mib
sc | i | -fitc --fit-ctx | - | LLAMA_ARG_FIT_CTX | fit_ctx
sc | v | --check-tensors | - | - | -
sc | s | --override-kv | - | - | override_kv
sc | b | --op-offload | --no-op-offload | - | op_offload
sc | s | --lora | - | - | lora
sc | s | --lora-scaled | - | - | lora_scaled
sc | s | --control-vector | - | - | control_vector
sc | s | --control-vector-scaled | - | - | control_vector_scaled
sc | 2 | --control-vector-layer-range | - | - | -
s | s | -a --alias | - | LLAMA_ARG_ALIAS | -
s | s | --tags | - | LLAMA_ARG_TAGS | -
sc | s | -m --model | - | LLAMA_ARG_MODEL | model
sc | s | -mu --model-url | - | LLAMA_ARG_MODEL_URL | model_url
sc | s | -dr --docker-repo | - | LLAMA_ARG_DOCKER_REPO | unsupported
sc | s | -hf -hfr --hf-repo | - | LLAMA_ARG_HF_REPO | hf_repo
sc | s | -hff --hf-file | - | LLAMA_ARG_HF_FILE | hf_file
sc | s | -hft --hf-token | - | HF_TOKEN | -
c | s | -o --output --output-file | - | - | -
s | i | --embd-normalize | - | - | -
s | s | --host | - | LLAMA_ARG_HOST | -
s | i | --port | - | LLAMA_ARG_PORT | -
s | v | --reuse-port | - | LLAMA_ARG_REUSE_PORT | -
s | s | --path | - | LLAMA_ARG_STATIC_PATH | -
s | s | --cors-origins | - | LLAMA_ARG_CORS_ORIGINS | -
s | s | --cors-methods | - | LLAMA_ARG_CORS_METHODS | -
s | s | --cors-headers | - | LLAMA_ARG_CORS_HEADERS | -
s | b | --cors-credentials | --no-cors-credentials | LLAMA_ARG_CORS_CREDENTIALS | -
s | s | --api-prefix | - | LLAMA_ARG_API_PREFIX | -
s | s | --ui-config --webui-config | - | LLAMA_ARG_UI_CONFIG | -
s | s | --ui-config-file --webui-config-file | - | LLAMA_ARG_UI_CONFIG_FILE | -
s | b | --ui-mcp-proxy --webui-mcp-proxy | --no-ui-mcp-proxy --no-webui-mcp-proxy | LLAMA_ARG_UI_MCP_PROXY | -
s | s | --tools | - | LLAMA_ARG_TOOLS | -
s | s | --tools-runtime | - | LLAMA_ARG_TOOLS_RUNTIME | -
s | s | --mcp-servers-config | - | LLAMA_ARG_MCP_SERVERS_CONFIG | -
s | s | --mcp-servers-json | - | LLAMA_ARG_MCP_SERVERS_JSON | -
s | b | -ag --agent | -no-ag --no-agent | LLAMA_ARG_AGENT | -
s | b | --ui --webui | --no-ui --no-webui | LLAMA_ARG_UI | -
s | v | --embedding --embeddings | - | LLAMA_ARG_EMBEDDINGS | embedding
s | v | --rerank --reranking | - | LLAMA_ARG_RERANKING | rerank
s | s | --api-key | - | LLAMA_API_KEY | -
s | s | --api-key-file | - | LLAMA_ARG_API_KEY_FILE | -
s | s | --ssl-key-file | - | LLAMA_ARG_SSL_KEY_FILE | -
s | s | --ssl-cert-file | - | LLAMA_ARG_SSL_CERT_FILE | -
sc | s | --chat-template-kwargs | - | LLAMA_ARG_CHAT_TEMPLATE_KWARGS | -
s | i | -to --timeout | - | LLAMA_ARG_TIMEOUT | -
s | i | --sse-ping-interval | - | LLAMA_ARG_SSE_PING_INTERVAL | -
s | i | --threads-http | - | LLAMA_ARG_THREADS_HTTP | -
s | b | --cache-prompt | --no-cache-prompt | LLAMA_ARG_CACHE_PROMPT | -
s | i | --cache-reuse | - | LLAMA_ARG_CACHE_REUSE | -
s | v | --metrics | - | LLAMA_ARG_ENDPOINT_METRICS | -
s | v | --props | - | LLAMA_ARG_ENDPOINT_PROPS | -
s | b | --slots | --no-slots | LLAMA_ARG_ENDPOINT_SLOTS | -
s | s | --slot-save-path | - | - | -
s | s | --media-path | - | - | -
s | s | --models-dir | - | LLAMA_ARG_MODELS_DIR | unsupported
s | s | --models-preset | - | LLAMA_ARG_MODELS_PRESET | unsupported
s | i | --models-max | - | LLAMA_ARG_MODELS_MAX | -
s | b | --models-autoload | --no-models-autoload | LLAMA_ARG_MODELS_AUTOLOAD | -
sc | b | --jinja | --no-jinja | LLAMA_ARG_JINJA | -
sc | s | --reasoning-format | - | LLAMA_ARG_THINK | -
sc | s | -rea --reasoning | - | LLAMA_ARG_REASONING | -
sc | s | --reasoning-effort | - | LLAMA_ARG_REASONING_EFFORT | -
sc | i | --reasoning-budget | - | LLAMA_ARG_THINK_BUDGET | -
sc | s | --reasoning-budget-message | - | LLAMA_ARG_THINK_BUDGET_MESSAGE | -
sc | b | --reasoning-preserve | --no-reasoning-preserve | LLAMA_ARG_REASONING_PRESERVE | -
sc | s | --chat-template | - | LLAMA_ARG_CHAT_TEMPLATE | -
sc | s | --chat-template-file | - | LLAMA_ARG_CHAT_TEMPLATE_FILE | -
sc | b | --skip-chat-parsing | --no-skip-chat-parsing | LLAMA_ARG_SKIP_CHAT_PARSING | -
s | b | --prefill-assistant | --no-prefill-assistant | LLAMA_ARG_PREFILL_ASSISTANT | -
s | s | -sps --slot-prompt-similarity | - | - | -
s | v | --lora-init-without-apply | - | - | -
s | i | --sleep-idle-seconds | - | - | -
c | v | --simple-io | - | - | -
sc | v | --log-disable | - | - | -
sc | s | --log-file | - | LLAMA_ARG_LOG_FILE | -
sc | b | --log-jsonl | --no-log-jsonl | LLAMA_ARG_LOG_JSONL | -
sc | s | --log-prompts-dir | - | - | -
sc | s | --log-colors | - | LLAMA_ARG_LOG_COLORS | -
sc | v | -v --verbose --log-verbose | - | - | -
sc | v | --offline | - | LLAMA_ARG_OFFLINE | -
sc | i | -lv --verbosity --log-verbosity | - | LLAMA_ARG_LOG_VERBOSITY | -
sc | b | --log-prefix | --no-log-prefix | LLAMA_ARG_LOG_PREFIX | -
sc | b | --log-timestamps | --no-log-timestamps | LLAMA_ARG_LOG_TIMESTAMPS | -
sc | s | --spec-draft-hf -hfd -hfrd --hf-repo-draft | - | LLAMA_ARG_SPEC_DRAFT_HF_REPO | model_draft_hf
sc | i | --spec-draft-threads -td --threads-draft | - | - | -
sc | i | --spec-draft-threads-batch -tbd --threads-batch-draft | - | - | -
sc | s | --spec-draft-cpu-mask -Cd --cpu-mask-draft | - | - | -
sc | s | --spec-draft-cpu-range -Crd --cpu-range-draft | - | - | -
sc | i | --spec-draft-cpu-strict --cpu-strict-draft | - | - | -
sc | i | --spec-draft-prio --prio-draft | - | - | -
sc | i | --spec-draft-poll --poll-draft | - | - | -
sc | s | --spec-draft-cpu-mask-batch -Cbd --cpu-mask-batch-draft | - | - | -
sc | i | --spec-draft-cpu-strict-batch --cpu-strict-batch-draft | - | - | -
sc | i | --spec-draft-prio-batch --prio-batch-draft | - | - | -
sc | i | --spec-draft-poll-batch --poll-batch-draft | - | - | -
sc | s | --spec-draft-type-k -ctkd --cache-type-k-draft | - | LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_K | draft_type_k
sc | s | --spec-draft-type-v -ctvd --cache-type-v-draft | - | LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_V | draft_type_v
sc | s | --spec-draft-override-tensor -otd --override-tensor-draft | - | - | draft_override_tensor
sc | v | --spec-draft-cpu-moe -cmoed --cpu-moe-draft | - | LLAMA_ARG_SPEC_DRAFT_CPU_MOE | draft_cpu_moe
sc | i | --spec-draft-n-cpu-moe --spec-draft-ncmoe -ncmoed --n-cpu-moe-draft | - | LLAMA_ARG_SPEC_DRAFT_N_CPU_MOE | draft_n_cpu_moe
sc | i | --spec-draft-n-max | - | LLAMA_ARG_SPEC_DRAFT_N_MAX | spec_draft_n_max
sc | i | --spec-draft-n-min | - | LLAMA_ARG_SPEC_DRAFT_N_MIN | -
sc | s | --spec-synth-len | - | LLAMA_ARG_SPEC_SYNTH_LEN | -
sc | s | --spec-synth-rates | - | LLAMA_ARG_SPEC_SYNTH_RATES | -
sc | s | --spec-draft-p-split --draft-p-split | - | LLAMA_ARG_SPEC_DRAFT_P_SPLIT | -
sc | s | --spec-draft-p-min --draft-p-min | - | LLAMA_ARG_SPEC_DRAFT_P_MIN | -
sc | b | --spec-draft-backend-sampling | --no-spec-draft-backend-sampling | LLAMA_ARG_SPEC_DRAFT_BACKEND_SAMPLING | -
sc | s | --spec-draft-device -devd --device-draft | - | - | draft_devices
sc | s | --spec-draft-ngl -ngld --gpu-layers-draft --n-gpu-layers-draft | - | LLAMA_ARG_N_GPU_LAYERS_DRAFT | draft_n_gpu_layers
sc | s | --spec-draft-model -md --model-draft | - | LLAMA_ARG_SPEC_DRAFT_MODEL | model_draft
sc | s | --spec-type | - | LLAMA_ARG_SPEC_TYPE | spec_type
sc | i | --spec-ngram-mod-n-min | - | - | -
sc | i | --spec-ngram-mod-n-max | - | - | spec_ngram_mod_n_max
sc | i | --spec-ngram-mod-n-match | - | - | -
sc | i | --spec-ngram-simple-size-n | - | - | -
sc | i | --spec-ngram-simple-size-m | - | - | spec_ngram_simple_size_m
sc | i | --spec-ngram-simple-min-hits | - | - | -
sc | i | --spec-ngram-map-k-size-n | - | - | -
sc | i | --spec-ngram-map-k-size-m | - | - | spec_ngram_map_k_size_m
sc | i | --spec-ngram-map-k-min-hits | - | - | -
sc | i | --spec-ngram-map-k4v-size-n | - | - | -
sc | i | --spec-ngram-map-k4v-size-m | - | - | spec_ngram_map_k4v_size_m
sc | i | --spec-ngram-map-k4v-min-hits | - | - | -
sc | i | --draft --draft-n --draft-max | - | LLAMA_ARG_DRAFT_MAX | removed
sc | i | --draft-min --draft-n-min | - | LLAMA_ARG_DRAFT_MIN | removed
s | i | --spec-ngram-size-n | - | - | removed
s | i | --spec-ngram-size-m | - | - | removed
s | i | --spec-ngram-min-hits | - | - | removed
s | v | --embd-gemma-default | - | - | preset
s | v | --fim-qwen-1.5b-default | - | - | preset
s | v | --fim-qwen-3b-default | - | - | preset
s | v | --fim-qwen-7b-default | - | - | preset
s | v | --fim-qwen-7b-spec | - | - | preset
s | v | --fim-qwen-14b-spec | - | - | preset
s | v | --fim-qwen-30b-default | - | - | preset
sc | v | --gpt-oss-20b-default | - | - | preset
sc | v | --gpt-oss-120b-default | - | - | preset
sc | v | --vision-gemma-4b-default | - | - | preset
sc | v | --vision-gemma-12b-default | - | - | preset
sc | v | --spec-default | - | - | spec_default
"""

_OLDER = """
sc | b | --mmap | --no-mmap | - | older_mmap
sc | v | --mlock | - | - | older_mlock
sc | b | -dio --direct-io | -ndio --no-direct-io | - | older_direct_io
"""
"""Spellings that llama.cpp dropped for `--load-mode`, and that people's scripts still hold."""


@cache
def flags() -> tuple[Flag, ...]:
    """Every flag."""
    result = []
    for line in (_TABLE + _OLDER).strip().splitlines():
        if not line:
            continue
        tools, kind, spellings, negated, env, setting = line.split(" | ")
        result.append(
            Flag(
                tools,
                kind,
                tuple(spellings.split()),
                () if negated == "-" else tuple(negated.split()),
                None if env == "-" else env,
                None if setting == "-" else setting,
            )
        )
    return tuple(result)


def flags_of(tool: str) -> tuple[Flag, ...]:
    """The flags that `llama-server` or `llama-cli` has, in llama.cpp's order."""
    letter = "c" if tool == "llama-cli" else "s"
    return tuple(flag for flag in flags() if letter in flag.tools)


@cache
def by_spelling(tool: str) -> dict[str, tuple[Flag, bool]]:
    """Flag and whether this spelling is the positive one, for `llama-server` or `llama-cli`."""
    result: dict[str, tuple[Flag, bool]] = {}
    for flag in flags_of(tool):
        result.update(dict.fromkeys(flag.spellings, (flag, True)))
        result.update(dict.fromkeys(flag.negated, (flag, False)))
    return result
