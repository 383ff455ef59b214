#!/bin/bash
# A sweep whose points are jobs of Slurm: `sbatch examples/cluster/sweep.sh`.  This small job hands them out; when its own
# time is over submit it again: it follows those that are there.  `massieu status runs/gas` shows how far it is.
#SBATCH --job-name=gas
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=2-00:00:00
#SBATCH --open-mode=append

massieu sweep electron-gas --n 13,29 --rs 1,2,5,10 --theta 0.15 --twist 0.25 --out runs/gas \
    --cluster slurm --jobs 8 --partition gpu --gpus 1 --time 04:00:00 --slurm mem=32G
