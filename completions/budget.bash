# bash completion for budget. Written by `python -m tests.generated` from the parser; do not edit.
# To use it: source this file, or put it into $XDG_DATA_HOME/bash-completion/completions/budget.

_budget_models='sample:gemma-3-27b sample:gpt-oss-20b sample:llama-3.1-8b sample:llama-3.3-70b sample:qwen3-30b-a3b hf:// https:// ollama://'

_budget_gpus='a10 a100-40gb a100-40gb-mig-1g.5gb a100-40gb-mig-2g.10gb a100-40gb-mig-3g.20gb a100-40gb-mig-4g.20gb a100-40gb-mig-7g.40gb a100-80gb a100-pcie-40gb a100-pcie-80gb a10g a16 a2 a30 a40 arc-140v arc-a380 arc-a580 arc-a750 arc-a770-16gb arc-b570 arc-b580 arc-pro-b50 arc-pro-b60 arc-pro-b70 b200 b300 gb10 gb200 gb300 gh200-144gb gh200-96gb gtx-1050-ti gtx-1060-6gb gtx-1070 gtx-1070-ti gtx-1080 gtx-1080-ti gtx-1650 gtx-1660 gtx-1660-super gtx-1660-ti h100-nvl h100-pcie h100-sxm h100-sxm-mig-1g.10gb h100-sxm-mig-1g.20gb h100-sxm-mig-2g.20gb h100-sxm-mig-3g.40gb h100-sxm-mig-4g.40gb h100-sxm-mig-7g.80gb h20 h200-nvl h800 jetson-agx-orin-32gb jetson-agx-orin-64gb jetson-orin-nano-8gb jetson-orin-nx-16gb jetson-orin-nx-8gb jetson-thor-t4000 jetson-thor-t5000 l20 l4 l40 l40s m1-16gb m1-8gb m1-max-32gb m1-max-64gb m1-pro-16gb m1-pro-32gb m1-ultra-128gb m1-ultra-64gb m2-16gb m2-24gb m2-8gb m2-max-32gb m2-max-64gb m2-max-96gb m2-pro-16gb m2-pro-32gb m2-ultra-128gb m2-ultra-192gb m2-ultra-64gb m3-16gb m3-24gb m3-8gb m3-max-128gb m3-max-36gb m3-max-48gb m3-max-64gb m3-max-96gb m3-pro-18gb m3-pro-36gb m3-ultra-256gb m3-ultra-512gb m3-ultra-96gb m4-16gb m4-24gb m4-32gb m4-max-128gb m4-max-36gb m4-max-48gb m4-max-64gb m4-pro-24gb m4-pro-48gb m4-pro-64gb m5-16gb m5-24gb m5-32gb m5-max-128gb m5-max-36gb m5-max-48gb m5-max-64gb m5-pro-24gb m5-pro-48gb m5-pro-64gb max-1100 max-1550 mi100 mi210 mi25 mi250 mi250x mi300a mi300x mi325x mi350x mi355x mi50-16gb mi50-32gb mi60 nvidia-h200 nvidia-rtx-2060 nvidia-rtx-a2000 quadro-p6000 quadro-rtx-4000 quadro-rtx-5000 quadro-rtx-6000 quadro-rtx-8000 radeon-ai-pro-r9700 radeon-pro-v620 radeon-pro-vii radeon-pro-w6800 radeon-pro-w7800 radeon-pro-w7800-48gb radeon-pro-w7900 radeon-vii rtx-2000-ada rtx-2060-12gb rtx-2060-super rtx-2070 rtx-2070-super rtx-2080 rtx-2080-super rtx-2080-ti rtx-3050-6gb rtx-3050-8gb rtx-3050-laptop rtx-3060-12gb rtx-3060-laptop rtx-3060-ti rtx-3070 rtx-3070-laptop rtx-3070-ti rtx-3070-ti-laptop rtx-3080-10gb rtx-3080-12gb rtx-3080-laptop rtx-3080-ti rtx-3080-ti-laptop rtx-3090 rtx-3090-ti rtx-4000-ada rtx-4000-sff-ada rtx-4050-laptop rtx-4060 rtx-4060-laptop rtx-4060-ti-16gb rtx-4060-ti-8gb rtx-4070 rtx-4070-laptop rtx-4070-super rtx-4070-ti rtx-4070-ti-super rtx-4080 rtx-4080-laptop rtx-4080-super rtx-4090 rtx-4090-d rtx-4090-laptop rtx-4500-ada rtx-5000-ada rtx-5050 rtx-5050-laptop rtx-5060 rtx-5060-laptop rtx-5060-ti-16gb rtx-5060-ti-8gb rtx-5070 rtx-5070-laptop rtx-5070-ti rtx-5070-ti-laptop rtx-5080 rtx-5080-laptop rtx-5090 rtx-5090-laptop rtx-6000-ada rtx-a2000-12gb rtx-a4000 rtx-a4500 rtx-a5000 rtx-a5500 rtx-a6000 rtx-pro-2000-blackwell rtx-pro-4000-blackwell rtx-pro-4500-blackwell rtx-pro-5000-72gb-blackwell rtx-pro-5000-blackwell rtx-pro-6000-blackwell-server rtx-pro-6000-blackwell-ws rx-6600 rx-6600-xt rx-6650-xt rx-6700-xt rx-6750-xt rx-6800 rx-6800-xt rx-6900-xt rx-6950-xt rx-7600 rx-7600-xt rx-7700-xt rx-7800-xt rx-7900-gre rx-7900-xt rx-7900-xtx rx-9060-xt-16gb rx-9070 rx-9070-xt ryzen-ai-9-hx-370 ryzen-ai-max-390 ryzen-ai-max-395 tesla-m40-24gb tesla-p100-16gb tesla-p4 tesla-p40 tesla-t4 tesla-v100-sxm2-16gb tesla-v100-sxm2-32gb tesla-v100s-pcie-32gb titan-rtx titan-v titan-xp'

_budget_machines='arc-140v aws:g4dn.12xlarge aws:g4dn.16xlarge aws:g4dn.2xlarge aws:g4dn.4xlarge aws:g4dn.8xlarge aws:g4dn.xlarge aws:g5.12xlarge aws:g5.16xlarge aws:g5.24xlarge aws:g5.2xlarge aws:g5.48xlarge aws:g5.4xlarge aws:g5.8xlarge aws:g5.xlarge aws:g5g.16xlarge aws:g5g.2xlarge aws:g5g.4xlarge aws:g5g.8xlarge aws:g5g.xlarge aws:g6.12xlarge aws:g6.16xlarge aws:g6.24xlarge aws:g6.2xlarge aws:g6.48xlarge aws:g6.4xlarge aws:g6.8xlarge aws:g6.xlarge aws:g6e.12xlarge aws:g6e.16xlarge aws:g6e.24xlarge aws:g6e.2xlarge aws:g6e.48xlarge aws:g6e.4xlarge aws:g6e.8xlarge aws:g6e.xlarge aws:g7.12xlarge aws:g7.24xlarge aws:g7.2xlarge aws:g7.48xlarge aws:g7.4xlarge aws:g7.8xlarge aws:g7e.12xlarge aws:g7e.24xlarge aws:g7e.2xlarge aws:g7e.48xlarge aws:g7e.4xlarge aws:g7e.8xlarge aws:gr6.4xlarge aws:gr6.8xlarge aws:p3.16xlarge aws:p3.2xlarge aws:p3.8xlarge aws:p3dn.24xlarge aws:p4d.24xlarge aws:p4de.24xlarge aws:p5.48xlarge aws:p5.4xlarge aws:p5e.48xlarge aws:p5en.48xlarge aws:p6-b200.48xlarge aws:p6-b300.48xlarge azure-standard-nc16as-t4-v3 azure-standard-nc24ads-a100-v4 azure-standard-nc40ads-h100-v5 azure-standard-nc48ads-a100-v4 azure-standard-nc4as-t4-v3 azure-standard-nc64as-t4-v3 azure-standard-nc6s-v3 azure-standard-nc80adis-h100-v5 azure-standard-nc8as-t4-v3 azure-standard-nc96ads-a100-v4 azure-standard-nd96amsr-a100-v4 azure-standard-nd96asr-v4 azure-standard-nd96isr-h100-v5 azure-standard-nd96isr-h200-v5 azure-standard-nd96isr-mi300x-v5 azure-standard-nv36ads-a10-v5 ci-gh-ubuntu-private dgx-a100-80 dgx-b200 dgx-h100 dgx-h200 dgx-spark framework-desktop-128 gcp-a2-highgpu-1g gcp-a2-highgpu-2g gcp-a2-highgpu-4g gcp-a2-highgpu-8g gcp-a2-megagpu-16g gcp-a2-ultragpu-1g gcp-a2-ultragpu-8g gcp-a3-highgpu-1g gcp-a3-highgpu-8g gcp-a3-megagpu-8g gcp-a3-ultragpu-8g gcp-a4-highgpu-8g gcp-a4x-highgpu-4g gcp-g2-standard-12 gcp-g2-standard-16 gcp-g2-standard-24 gcp-g2-standard-32 gcp-g2-standard-4 gcp-g2-standard-48 gcp-g2-standard-8 gcp-g2-standard-96 gcp-g4-standard-48 github:gh-gpu-t4 github:macos-15-intel github:macos-latest github:ubuntu-24.04-arm github:ubuntu-latest github:ubuntu-slim github:windows-latest m1-16gb m1-8gb m1-max-32gb m1-max-64gb m1-pro-16gb m1-pro-32gb m1-ultra-128gb m1-ultra-64gb m2-16gb m2-24gb m2-8gb m2-max-32gb m2-max-64gb m2-max-96gb m2-pro-16gb m2-pro-32gb m2-ultra-128gb m2-ultra-192gb m2-ultra-64gb m3-16gb m3-24gb m3-8gb m3-max-128gb m3-max-36gb m3-max-48gb m3-max-64gb m3-max-96gb m3-pro-18gb m3-pro-36gb m3-ultra-256gb m3-ultra-512gb m3-ultra-96gb m4-16gb m4-24gb m4-32gb m4-max-128gb m4-max-36gb m4-max-48gb m4-max-64gb m4-pro-24gb m4-pro-48gb m4-pro-64gb m5-16gb m5-24gb m5-32gb m5-max-128gb m5-max-36gb m5-max-48gb m5-max-64gb m5-pro-24gb m5-pro-48gb m5-pro-64gb mi300a ryzen-ai-9-hx-370 ryzen-ai-max-390 ryzen-ai-max-395'

_budget_architectures='afmoe apertus arcee arctic arwkv7 baichuan bailingmoe bailingmoe2 bailingmoe3 bert bitnet bloom chameleon chatglm clip codeshell cogvlm cohere2 cohere2moe command-r dbrx deci deepseek deepseek2 deepseek2-ocr deepseek32 deepseek4 dflash dots1 dots3note dream eagle3 ernie4_5 ernie4_5-moe eurobert exaone exaone-moe exaone4 falcon falcon-h1 gemma gemma-embedding gemma2 gemma3 gemma3n gemma4 gemma4-assistant glm-dsa glm4 glm4moe glm5-next gpt-oss gpt2 gptj gptneox granite granite_swa granitehybrid granitemoe graniteswitch grok grovemoe hrm_text hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 hy_v4 internlm2 jais jais2 jamba jina-bert-v2 jina-bert-v3 kimi-k3 kimi-linear laguna lfm2 lfm2moe llada llada-moe llama llama-embed llama4 maincoder mamba mamba2 maple mellum mimo2 minicpm minicpm3 minimax-01 minimax-m2 minimax-m3 mistral3 mistral4 modern-bert mpt muse-glimmer nanbeige nemotron nemotron_h nemotron_h_moe neo-bert nomic-bert nomic-bert-moe olmo olmo2 olmoe openelm orion paddleocr pangu-embedded phi2 phi3 phimoe plamo plamo2 plamo3 plm pockettts qwen qwen2 qwen2moe qwen2vl qwen3 qwen35 qwen35moe qwen3moe qwen3next qwen3tts qwen3vl qwen3vlmoe qwen4exp refact rnd1 rwkv6 rwkv6qwen2 rwkv7 seed_oss smallthinker smollm3 spark2_5 stablelm starcoder starcoder2 step35 t5 t5encoder talkie wavtokenizer-dec xverse'

_budget_llama='-c --ctx-size --kv-unified-per-slot -b --batch-size -ub --ubatch-size --swa-full -ctxcp --ctx-checkpoints --swa-checkpoints -cram --cache-ram -kvu --kv-unified -no-kvu --no-kv-unified -fa --flash-attn -bs --backend-sampling --pooling -kvo --kv-offload -nkvo --no-kv-offload --repack -nr --no-repack --no-host -ctk --cache-type-k -ctv --cache-type-v -np --parallel -mm --mmproj -mmu --mmproj-url --mmproj-auto --no-mmproj --no-mmproj-auto --mmproj-offload --no-mmproj-offload -mmdev --mmproj-device --image-max-tokens --rpc -lm --load-mode -lzm --lazy-mode -dev --device -ot --override-tensor -cmoe --cpu-moe -ncmoe --n-cpu-moe -ncffn --n-cpu-ffn -ngl --gpu-layers --n-gpu-layers -sm --split-mode -ts --tensor-split -mg --main-gpu -fit --fit -fitt --fit-target -fitc --fit-ctx --override-kv --op-offload --no-op-offload --lora --lora-scaled --control-vector --control-vector-scaled --embedding --embeddings --rerank --reranking -hfd -hfrd --spec-draft-hf --hf-repo-draft -ctkd --spec-draft-type-k --cache-type-k-draft -ctvd --spec-draft-type-v --cache-type-v-draft -otd --spec-draft-override-tensor --override-tensor-draft -cmoed --spec-draft-cpu-moe --cpu-moe-draft -ncmoed --spec-draft-n-cpu-moe --spec-draft-ncmoe --n-cpu-moe-draft --spec-draft-n-max -devd --spec-draft-device --device-draft -ngld --spec-draft-ngl --gpu-layers-draft --n-gpu-layers-draft -md --spec-draft-model --model-draft --spec-type --spec-ngram-mod-n-max --spec-ngram-simple-size-m --spec-ngram-map-k-size-m --spec-ngram-map-k4v-size-m --spec-default'

_budget_is_command() {
    case $1 in
        'fit'|'max-ctx'|'place'|'advise'|'request'|'sweep'|'diff'|'check'|'inspect'|'scan'|'devices'|'hardware'|'verify'|'config'|'cache'|'schema') return 0 ;;
    esac
    return 1
}

_budget_options() {
    case $1 in
        '') echo "--version -h --help" ;;
        'fit') echo "--json --format -q --quiet -v --verbose --buffers --host --inventory --pods --for --admit --name --evict --emit --assume --no-cache --machine --gpu --ram --no-gpu --probe-with --rpc-from --budget --overhead --reserve --accounting --config --max-resident --headroom --resident --ledger --replace --params --bpw --quant --weights-bytes --layers --kv-layers --kv-heads --head-dim --kv-bytes-per-token --fixed-bytes --ctx-train --window --window-layers --tool -h --help $_budget_llama" ;;
        'max-ctx') echo "--json --format -q --quiet --per-slot -v --explain --verbose --beyond-trained --utilization --align --floor --assume --no-cache --machine --gpu --ram --no-gpu --probe-with --rpc-from --budget --overhead --reserve --accounting --config --max-resident --headroom --resident --ledger --replace --host-cold --min-hot-context --params --bpw --quant --weights-bytes --layers --kv-layers --kv-heads --head-dim --kv-bytes-per-token --fixed-bytes --ctx-train --window --window-layers --tool -h --help $_budget_llama" ;;
        'place') echo "--json --format -q --quiet --compute --assume --no-cache --machine --gpu --ram --no-gpu --probe-with --rpc-from --budget --overhead --reserve --accounting --config --max-resident --headroom --resident --ledger --replace --params --bpw --quant --weights-bytes --layers --kv-layers --kv-heads --head-dim --kv-bytes-per-token --fixed-bytes --ctx-train --window --window-layers --tool -h --help $_budget_llama" ;;
        'advise') echo "--json --format -q --quiet --line --ctx-min --prefer --bandwidth --assume --no-cache --machine --gpu --ram --no-gpu --probe-with --rpc-from --budget --overhead --reserve --accounting --config --max-resident --headroom --resident --ledger --replace --params --bpw --quant --weights-bytes --layers --kv-layers --kv-heads --head-dim --kv-bytes-per-token --fixed-bytes --ctx-train --window --window-layers --tool -h --help $_budget_llama" ;;
        'request') echo "--json --format -q --quiet --used --completion --capacity --assume --no-cache --machine --gpu --ram --no-gpu --probe-with --rpc-from --budget --overhead --reserve --accounting --config --max-resident --headroom --resident --ledger --replace --params --bpw --quant --weights-bytes --layers --kv-layers --kv-heads --head-dim --kv-bytes-per-token --fixed-bytes --ctx-train --window --window-layers --tool -h --help $_budget_llama" ;;
        'sweep') echo "--json --format -q --quiet --ctx --kv --ctk --ctv --ngl --np --ub --svg --png --html --assume --no-cache --machine --gpu --ram --no-gpu --probe-with --rpc-from --budget --overhead --reserve --accounting --config --max-resident --headroom --resident --ledger --replace --params --bpw --quant --weights-bytes --layers --kv-layers --kv-heads --head-dim --kv-bytes-per-token --fixed-bytes --ctx-train --window --window-layers --tool -h --help $_budget_llama" ;;
        'diff') echo "--json --format -q --quiet --a --b --assume --no-cache --machine --gpu --ram --no-gpu --probe-with --rpc-from --budget --overhead --reserve --accounting --config --max-resident --headroom --resident --ledger --replace --params --bpw --quant --weights-bytes --layers --kv-layers --kv-heads --head-dim --kv-bytes-per-token --fixed-bytes --ctx-train --window --window-layers --tool -h --help $_budget_llama" ;;
        'check') echo "--json --format -q --quiet --init --junit --summary --no-cache -h --help" ;;
        'inspect') echo "--json --format -q --quiet --profile --assume --no-cache --machine --gpu --ram --no-gpu --probe-with --rpc-from --budget --overhead --reserve --accounting --config --max-resident --headroom --resident --ledger --replace --params --bpw --quant --weights-bytes --layers --kv-layers --kv-heads --head-dim --kv-bytes-per-token --fixed-bytes --ctx-train --window --window-layers --tool -h --help $_budget_llama" ;;
        'scan') echo "--json --format -q --quiet --stores --no-stores -j --jobs --dask --machine --gpu --ram --no-gpu --probe-with --rpc-from --budget --overhead --reserve --accounting --config --max-resident --headroom --resident --ledger --replace --tool --no-cache -h --help $_budget_llama" ;;
        'devices') echo "--json --format -q --quiet -v --verbose --machine --gpu --ram --no-gpu --probe-with --rpc-from -h --help" ;;
        'hardware') echo "--json --format -q --quiet --fits --ctx --ram --tool --no-cache -h --help $_budget_llama" ;;
        'verify') echo "--json --format -q --quiet --log --llama-cpp --tolerance --assume --no-cache --machine --gpu --ram --no-gpu --probe-with --rpc-from --budget --overhead --reserve --accounting --config --max-resident --headroom --resident --ledger --replace --params --bpw --quant --weights-bytes --layers --kv-layers --kv-heads --head-dim --kv-bytes-per-token --fixed-bytes --ctx-train --window --window-layers --tool -h --help $_budget_llama" ;;
        'config') echo "--json --format -q --quiet --budget --overhead --reserve --accounting --config --max-resident --headroom --resident --ledger --replace -h --help" ;;
        'cache') echo "--json --format -q --quiet -h --help" ;;
        'schema') echo "--json --format -q --quiet -h --help" ;;
    esac
}

# sets kind and choices of the value that option $2 of command $1 takes; fails where it takes none
_budget_value() {
    choices='' n_values=1
    case "$1 $2" in
        'check --format') kind=choices choices='table plain json markdown csv github junit' ;;
        *' --version'|*' -h'|*' --help'|*' --json'|*' -q'|*' --quiet'|*' -v'|*' --verbose'|*' --buffers'|*' --host'|*' --admit'|*' --evict'|*' --no-cache'|*' --no-gpu'|*' --swa-full'|*' -kvu'|*' --kv-unified'|*' -no-kvu'|*' --no-kv-unified'|*' -bs'|*' --backend-sampling'|*' -kvo'|*' --kv-offload'|*' -nkvo'|*' --no-kv-offload'|*' --repack'|*' -nr'|*' --no-repack'|*' --no-host'|*' --mmproj-auto'|*' --no-mmproj'|*' --no-mmproj-auto'|*' --mmproj-offload'|*' --no-mmproj-offload'|*' -cmoe'|*' --cpu-moe'|*' --op-offload'|*' --no-op-offload'|*' --embedding'|*' --embeddings'|*' --rerank'|*' --reranking'|*' -cmoed'|*' --spec-draft-cpu-moe'|*' --cpu-moe-draft'|*' --spec-default'|*' --per-slot'|*' --explain'|*' --beyond-trained'|*' --compute'|*' --line'|*' --init'|*' --profile'|*' --stores'|*' --no-stores') return 1 ;;
        *' --format') kind=choices choices='table plain json markdown csv' ;;
        *' --inventory'|*' --pods'|*' --rpc-from'|*' --config'|*' --ledger'|*' -mm'|*' --mmproj'|*' --lora'|*' --lora-scaled'|*' --control-vector'|*' --control-vector-scaled'|*' -md'|*' --spec-draft-model'|*' --model-draft'|*' --svg'|*' --png'|*' --html'|*' --junit'|*' --summary'|*' --log') kind=file ;;
        *' --for') kind=model n_values=2 ;;
        *' --name'|*' --ram'|*' --reserve'|*' --headroom'|*' --resident'|*' --replace'|*' --params'|*' --bpw'|*' --weights-bytes'|*' --layers'|*' --kv-layers'|*' --kv-heads'|*' --head-dim'|*' --kv-bytes-per-token'|*' --fixed-bytes'|*' --ctx-train'|*' --window'|*' --window-layers'|*' -c'|*' --ctx-size'|*' --kv-unified-per-slot'|*' -b'|*' --batch-size'|*' -ub'|*' --ubatch-size'|*' -ctxcp'|*' --ctx-checkpoints'|*' --swa-checkpoints'|*' -cram'|*' --cache-ram'|*' -np'|*' --parallel'|*' -mmu'|*' --mmproj-url'|*' -mmdev'|*' --mmproj-device'|*' --image-max-tokens'|*' --rpc'|*' -dev'|*' --device'|*' -ot'|*' --override-tensor'|*' -ncmoe'|*' --n-cpu-moe'|*' -ncffn'|*' --n-cpu-ffn'|*' -ngl'|*' --gpu-layers'|*' --n-gpu-layers'|*' -ts'|*' --tensor-split'|*' -mg'|*' --main-gpu'|*' -fitt'|*' --fit-target'|*' -fitc'|*' --fit-ctx'|*' --override-kv'|*' -hfd'|*' -hfrd'|*' --spec-draft-hf'|*' --hf-repo-draft'|*' -otd'|*' --spec-draft-override-tensor'|*' --override-tensor-draft'|*' -ncmoed'|*' --spec-draft-n-cpu-moe'|*' --spec-draft-ncmoe'|*' --n-cpu-moe-draft'|*' --spec-draft-n-max'|*' -devd'|*' --spec-draft-device'|*' --device-draft'|*' -ngld'|*' --spec-draft-ngl'|*' --gpu-layers-draft'|*' --n-gpu-layers-draft'|*' --spec-ngram-mod-n-max'|*' --spec-ngram-simple-size-m'|*' --spec-ngram-map-k-size-m'|*' --spec-ngram-map-k4v-size-m'|*' --utilization'|*' --align'|*' --floor'|*' --host-cold'|*' --min-hot-context'|*' --ctx-min'|*' --bandwidth'|*' --used'|*' --completion'|*' --capacity'|*' --ctx'|*' --ngl'|*' --np'|*' --ub'|*' --a'|*' --b'|*' -j'|*' --jobs'|*' --dask'|*' --tolerance') kind=none ;;
        *' --emit') kind=choices choices='kubernetes' ;;
        *' --assume') kind=arch ;;
        *' --machine') kind=machine ;;
        *' --gpu') kind=gpu ;;
        *' --probe-with') kind=program ;;
        *' --budget') kind=choices choices='auto unlimited' ;;
        *' --overhead'|*' --max-resident') kind=choices choices='auto' ;;
        *' --accounting') kind=choices choices='real fit' ;;
        *' --quant') kind=choices choices='F16 IQ1_M IQ1_S IQ2_M IQ2_S IQ2_XS IQ2_XXS IQ3_M IQ3_S IQ3_XS IQ3_XXS IQ4_NL IQ4_XS Q2_K Q2_K_S Q3_K_L Q3_K_M Q3_K_S Q4_0 Q4_1 Q4_K_M Q4_K_S Q5_0 Q5_1 Q5_K_M Q5_K_S Q6_K Q8_0' ;;
        *' --tool') kind=choices choices='llama-server llama-cli' ;;
        *' -fa'|*' --flash-attn'|*' -lzm'|*' --lazy-mode') kind=choices choices='auto on off' ;;
        *' --pooling') kind=choices choices='none mean cls last rank' ;;
        *' -ctk'|*' --cache-type-k'|*' -ctv'|*' --cache-type-v'|*' -ctkd'|*' --spec-draft-type-k'|*' --cache-type-k-draft'|*' -ctvd'|*' --spec-draft-type-v'|*' --cache-type-v-draft'|*' --kv'|*' --ctk'|*' --ctv') kind=choices choices='f32 f16 bf16 q8_0 q4_0 q4_1 iq4_nl q5_0 q5_1' ;;
        *' -lm'|*' --load-mode') kind=choices choices='auto none mmap mlock mmap+mlock dio' ;;
        *' -sm'|*' --split-mode') kind=choices choices='none layer row tensor' ;;
        *' -fit'|*' --fit') kind=choices choices='on off' ;;
        *' --spec-type') kind=choices choices='none draft-simple draft-eagle3 draft-mtp draft-dflash draft-dspark ngram-simple ngram-map-k ngram-map-k4v ngram-mod ngram-cache' ;;
        *' --prefer') kind=choices choices='context speed quality slots' ;;
        *' --fits') kind=model ;;
        *' --llama-cpp') kind=folder ;;
        *) return 1 ;;
    esac
}

_budget_arguments() {
    case $1 in
        '') _budget_words 'fit max-ctx place advise request sweep diff check inspect scan devices hardware verify config cache schema' ;;
        'fit') _budget_kind model ;;
        'max-ctx') _budget_kind model ;;
        'place') _budget_kind model ;;
        'advise') _budget_kind model ;;
        'request') _budget_kind model ;;
        'sweep') _budget_kind model ;;
        'diff') _budget_kind model ;;
        'check') _budget_kind gate ;;
        'inspect') _budget_kind model ;;
        'scan') _budget_kind file ;;
        'verify') _budget_kind model ;;
        'cache') _budget_kind choices 'info clear' ;;
        'schema') _budget_kind choices 'fit max-ctx inspect place verify advise sweep diff check fleet admission evict request profile config machine hardware scan quants fit-inventory cache schemas ledger inventory gate-file config-file' ;;
    esac
}

# bash splits words at : where COMP_WORDBREAKS says so; what stands before the last one is not to be offered again
_budget_offer() {
    local cut=''
    [[ $COMP_WORDBREAKS == *:* ]] && cut=${cur%"${cur##*:}"}
    COMPREPLY+=("${1#"$cut"}")
}

# words that start with $cur
_budget_words() {
    local word
    for word in $1; do
        [[ $word == "$cur"* ]] && _budget_offer "$word"
    done
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null
}

# files whose name ends in $1, and folders; without $1 every file; of a list, the last
_budget_files() {
    local path part=${cur##*,}
    while IFS= read -r path; do
        [[ -z $1 || -d $path || $path == *"$1" ]] && _budget_offer "${cur%"$part"}$path"
    done < <(compgen -f -- "$part")
    compopt -o filenames 2>/dev/null
}

_budget_kind() {
    case $1 in
        choices) _budget_words "$2" ;;
        model) _budget_words "$_budget_models"; _budget_files .gguf ;;
        machine) _budget_words "$_budget_machines"; _budget_files .json ;;
        gpu) _budget_words "$_budget_gpus" ;;
        arch) _budget_words "$_budget_architectures" ;;
        program) _budget_words "$(compgen -c -- "$cur" | grep -F llama)"; _budget_files '' ;;
        folder) _budget_files / ;;
        gate) _budget_files .toml ;;
        file) _budget_files '' ;;
    esac
}

_budget() {
    local cur line word path='' option='' kind='' choices='' i n_values=1
    local -a words
    COMPREPLY=()
    line=${COMP_LINE:0:COMP_POINT}
    cur=${line##*[[:space:]]}
    line=${line%"$cur"}
    local set_f=$-
    set -f
    words=($line)
    [[ $set_f == *f* ]] || set +f
    for ((i = 1; i < ${#words[@]}; i++)); do
        word=${words[i]}
        if [[ $word == -- ]]; then
            if [[ $cur == -* ]]; then _budget_words "$_budget_llama"; else _budget_files ''; fi
            return
        fi
        if [[ $option ]]; then ((--n_values)) || option=''; continue; fi
        if [[ $word == -* ]]; then
            _budget_value "$path" "$word" && option=$word
        elif _budget_is_command "${path:+$path }$word"; then
            path="${path:+$path }$word"
        fi
    done
    if [[ -z $option && $cur == --*=* ]]; then option=${cur%%=*}; cur=${cur#*=}; fi
    if [[ $option ]]; then
        _budget_value "$path" "$option" && _budget_kind $kind "$choices"
        return
    fi
    if [[ $cur == -* ]]; then _budget_words "$(_budget_options "$path")"; return; fi
    _budget_arguments "$path"
}

complete -F _budget budget
